"""Names of models, and patterns of them."""

from fnmatch import fnmatchcase


def matches(name: str, pattern: str) -> bool:
    """``pattern`` is the name itself, or has ``*`` for any part of it."""
    return name == pattern or ("*" in pattern and fnmatchcase(name, pattern))
