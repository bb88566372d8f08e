"""Where a start marker stands in a text, or could still come to stand once more text arrives."""

import re
from typing import NamedTuple

LEAD_LIMIT = 256
"""How many characters before a marker, white space and a fence line, are taken to belong to it at most."""

_FENCE = re.compile(r"[ \t]*`{3,}[ \t]*[\w+.-]{0,32}[ \t\r]*")
_FENCE_BEGUN = re.compile(r"[ \t]*(?:`{1,2}|`{3,}[ \t]*[\w+.-]{0,32}[ \t\r]*)")


class Found(NamedTuple):
    """A start marker at ``at``; what belongs to it begins at ``lead``, with a code fence when ``fenced``."""

    lead: int
    at: int
    fenced: bool


def find_start(text: str, start: str, line_start: bool) -> Found | None:
    """The first start marker in ``text`` that begins a line (indented or not).

    ``line_start`` says whether the first character of ``text`` begins a line.
    """
    at = text.find(start)
    while at >= 0:
        floor = max(at - LEAD_LIMIT, 0)
        indent = len(text[floor:at].rstrip(" \t")) + floor
        if at - indent < LEAD_LIMIT and (text[indent - 1] == "\n" if indent else line_start):
            lead, fenced = _lead(text, at, line_start)
            return Found(lead, at, fenced)
        at = text.find(start, at + 1)
    return None


def hold_from(text: str, start: str, line_start: bool) -> int:
    """From where on ``text``, which has no start marker, must wait for more: a suffix of it could still turn
    out to be the beginning of one, or white space or a fence line before one."""
    end = len(text)
    floor = max(end - LEAD_LIMIT, 0)
    line = text.rfind("\n") + 1
    if (line or line_start) and end - line <= LEAD_LIMIT:
        body = text[line:].lstrip(" \t")
        if body == "\r":  # half a line break
            return _lead(text, end, line_start)[0]
        if start.startswith(body):
            return _lead(text, end - len(body), line_start)[0]
        if body[0] == "`" and _FENCE_BEGUN.fullmatch(text, line):
            return len(text[floor:line].rstrip()) + floor
    return len(text[floor:].rstrip()) + floor


def _lead(text: str, at: int, line_start: bool) -> tuple[int, bool]:
    floor = max(at - LEAD_LIMIT, 0)
    lead = len(text[floor:at].rstrip()) + floor
    newline = text.rfind("\n", max(floor - 1, 0), lead)
    line = newline + 1
    if lead < at and (newline >= 0 or (line_start and not floor)) and _FENCE.fullmatch(text, line, lead):
        return len(text[floor:line].rstrip()) + floor, True
    return lead, False
