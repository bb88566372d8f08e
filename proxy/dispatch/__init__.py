"""Towards upstreams: which deployment serves a model, its credential, and the HTTP client."""
