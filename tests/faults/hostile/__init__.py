"""Callers and upstreams that mean harm, over real sockets."""
