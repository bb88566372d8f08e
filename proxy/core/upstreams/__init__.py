"""Dialects that upstreams speak: a Call becomes their request, their stream becomes an Answer."""
