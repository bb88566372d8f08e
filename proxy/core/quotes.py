"""What an upstream says of a request may quote it. Callers may read their own words; logs and traces may not."""

from collections.abc import Iterator

from proxy.core.call import AssistantText, Call

MASK = "***"
_WINDOW = 13
_STEP = 4
_SHORTEST = 6
"""Of a text shorter than a window, at least so many characters are looked for."""


def without_quotes(said: str, call: Call) -> str:
    """``said`` with what it repeats of the request masked: any sixteen characters in a row, and what stands round
    them."""
    for text in _texts(call):
        if len(text) >= _WINDOW:
            said = _without(said, text)
        elif len(text) >= _SHORTEST:
            said = said.replace(text, MASK)
    return said


def _without(said: str, text: str) -> str:
    """Sixteen characters in a row hold a whole window wherever they begin, so only every fourth is looked for."""
    at = 0
    while at + _WINDOW <= len(said):
        found = text.find(said[at : at + _WINDOW])
        if found < 0:
            at += _STEP
            continue
        begin, end = at, at + _WINDOW
        first, behind = found, found + _WINDOW
        while begin and first and said[begin - 1] == text[first - 1]:
            begin, first = begin - 1, first - 1
        while end < len(said) and behind < len(text) and said[end] == text[behind]:
            end, behind = end + 1, behind + 1
        said = f"{said[:begin]}{MASK}{said[end:]}"
        at = begin + len(MASK)
    return said


def _texts(call: Call) -> Iterator[str]:
    yield call.system
    for entry in call.history:
        yield entry.text
        if isinstance(entry, AssistantText):
            yield from (made.arguments for made in entry.calls)
    yield from (tool.description for tool in call.tools)
