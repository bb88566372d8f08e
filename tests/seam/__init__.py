"""A caller and an upstream that the product knows nothing of, each one file, against its seam."""
