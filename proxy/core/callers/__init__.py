"""Dialects that callers speak: a body becomes a Call, an Answer becomes their wire format."""
