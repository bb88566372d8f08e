"""What no process of the whole suite may write: the word that tests plant in secrets, prompts and answers, and tokens."""

import re

_TOKEN = r"eyJ[\w-]{8,}\.[\w-]{8,}\."
_SECRET = re.compile(rf"planted-[\w-]*(?:secret|key|password|literal)\b|{_TOKEN}")
_ANYTHING = re.compile(rf"planted|{_TOKEN}")
found: list[str] = []
"""The lines that should not be, since somebody looked last."""


def look(line: str, *, with_messages: bool) -> None:
    """Notes a line that tells too much; ``with_messages`` says that texts may be told, though no secrets."""
    may_quote = with_messages or "tool_call.arguments" in line  # which is told at DEBUG, where all tests are
    if (_SECRET if may_quote else _ANYTHING).search(line):
        found.append(line)


def taken() -> list[str]:
    """What was found, once."""
    lines = found.copy()
    found.clear()
    return lines
