"""Towards callers: routes, middleware and the way of one request."""
