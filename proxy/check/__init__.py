"""``python -m proxy check``: what is configured, whether it can be reached, and whether the models answer."""
