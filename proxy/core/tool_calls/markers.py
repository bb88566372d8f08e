"""The markers that a call is written between, recognised in any dress.

A dress is what models put on a marker: another case, full-width letters, invisible characters, an escaped or missing
underscore. Matching works on folded text, which has the same length as the text it was made of.
"""

import re
from typing import NamedTuple

START = "FUNCTION_CALL_START"
END = "FUNCTION_CALL_END"

BRACKETS = ("<", "[", '"')
INVISIBLE = "\u200b"
_INVISIBLES = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
_BREAKS = "\t\n\r"
_FOLDED = {
    **{code: code + 32 for code in range(ord("A"), ord("Z") + 1)},
    **{code: ord(chr(code - 0xFEE0).lower()) for code in range(0xFF01, 0xFF5F)},
    **{code: ord(" ") for code in range(0x3001) if chr(code).isspace() and chr(code) not in _BREAKS},
    **dict.fromkeys(map(ord, _INVISIBLES), ord(INVISIBLE)),
    **dict.fromkeys(map(ord, _DASHES), ord("-")),
}
_SEPARATOR = rf"(?:[ \t_\\*~{INVISIBLE}-]|&#95;|&#x5f;|&lowbar;){{0,8}}"
_SEPARATORS = re.compile(_SEPARATOR)
_ENTITY_BEGUN = r"&[#a-z0-9]{0,6}\Z"


def fold(text: str) -> str:
    """``text`` in lower case, without full-width letters, kinds of white space, dashes and invisible characters."""
    return text.translate(_FOLDED)


def written_as(chars: str) -> str:
    """``chars``, and every character that is folded to one of them."""
    return chars + "".join(chr(code) for code, to in _FOLDED.items() if chr(to) in chars)


class MarkerPair(NamedTuple):
    """The two markers of a request: the bare ones, or both with the same code at their end."""

    start: str
    end: str


class Marker:
    """One marker of a request. Positions are those in a folded text."""

    __slots__ = ("_begun", "_code", "_full")

    def __init__(self, text: str) -> None:
        base = START if text.startswith(START) else END
        self._full = _FULL[base]
        self._begun = _BEGUN[base]
        self._code = fold(text[len(base) :]).strip("_")

    def end_at(self, folded: str, at: int) -> int:
        """Where the marker ends that begins at ``at``; -1 if none does."""
        found = self._full.match(folded, at)
        if found is None or not self._code:
            return found.end() if found else -1
        behind = _SEPARATORS.match(folded, found.end()).end()  # type: ignore[union-attr]  # it may be empty
        return behind + len(self._code) if folded.startswith(self._code, behind) else -1

    def begins_at(self, folded: str, at: int) -> bool:
        """The text ends inside what may be a marker that begins at ``at``."""
        if self._begun.match(folded, at):
            return True
        found = self._full.match(folded, at) if self._code else None
        if found is None:
            return False
        behind = _SEPARATORS.match(folded, found.end()).end()  # type: ignore[union-attr]
        return self._code.startswith(folded[behind:]) and not folded.startswith(self._code, behind)

    def find(self, folded: str, at: int = 0) -> tuple[int, int]:
        """The first marker from ``at`` on, as its beginning and its end; -1, -1 if there is none."""
        found = self._full.search(folded, at)
        while found is not None:
            if (end := self.end_at(folded, found.start())) >= 0:
                return found.start(), end
            found = self._full.search(folded, found.start() + 1)
        return -1, -1

    def hold_from(self, folded: str) -> int:
        """From where on the end of the text could still become a marker."""
        at = folded.find("f", max(len(folded) - LONGEST, 0))
        while at >= 0:
            if self.begins_at(folded, at):
                return at
            at = folded.find("f", at + 1)
        return len(folded)


class Markers(NamedTuple):
    """Both markers of a request. A bracket before one is a part of its dress."""

    start: Marker
    end: Marker

    def one_at(self, folded: str, at: int) -> bool:
        at += folded.startswith(BRACKETS, at)
        return self.end.end_at(folded, at) >= 0 or self.start.end_at(folded, at) >= 0

    def first(self, folded: str, at: int, end: int) -> int:
        """Where the first marker begins between ``at`` and ``end``; ``end`` if there is none."""
        found = (marker.find(folded, at)[0] for marker in self)
        return min((place for place in found if at < place < end), default=end)

    def may_begin_at(self, folded: str, at: int) -> bool:
        """The text ends inside what may be a marker that begins at ``at``."""
        at += folded.startswith(BRACKETS, at)
        return at == len(folded) or self.end.begins_at(folded, at) or self.start.begins_at(folded, at)


def _full(marker: str) -> str:
    return _SEPARATOR.join(f"{INVISIBLE}*".join(word) for word in marker.lower().split("_"))


def _begun(marker: str) -> str:
    """Matches every text that ends inside a marker."""
    pattern = ""
    words = marker.lower().split("_")
    for number, word in reversed(list(enumerate(words))):
        for place in range(len(word) - 1, -1, -1):
            if place:
                pattern = rf"{INVISIBLE}*(?:\Z|{word[place]}{pattern})"
            elif number:
                pattern = rf"{_SEPARATOR}(?:\Z|{_ENTITY_BEGUN}|{word[place]}{pattern})"
            else:
                pattern = word[place] + pattern
    return pattern


_FULL = {marker: re.compile(_full(marker)) for marker in (START, END)}
_BEGUN = {marker: re.compile(_begun(marker)) for marker in (START, END)}
MAY_BEGIN = re.compile(rf"[{written_as('f')}](?=[{written_as('u' + INVISIBLE)}]|\Z)")
"""What any text that is not folded has to contain for a marker to begin in it."""
LONGEST = 192
"""Characters of a marker that are looked at, invisible ones included."""
