"""Find where something other than text begins, or could still turn out to begin."""

import re
from enum import Enum, auto
from typing import NamedTuple

from proxy.core.tool_calls import reasoning
from proxy.core.tool_calls.fences import FENCE, FENCE_BEGUN
from proxy.core.tool_calls.markers import INVISIBLE, MAY_BEGIN, Marker, written_as
from proxy.core.tool_calls.other_formats import Opened, OtherFormats, Verdict

LEAD_LIMIT = 256
"""How many characters before a marker, white space and markdown, belong to it at most."""
LEAD = f' \t\r\n`*_#>~-"{INVISIBLE}'
HELD_BACK = written_as(LEAD)
"""The characters of ``LEAD``, and those that are folded to one."""

_CANDIDATE = re.compile(rf"f(?=[u{INVISIBLE}]|\Z)|[<\[{{`]|^[ \t>]*a(?=c|\Z)", re.MULTILINE)
_FENCED_CANDIDATE = re.compile(rf"f(?=[u{INVISIBLE}]|\Z)|`")
_RUN = re.compile(r"`+")

# The same for text that is not folded, without regard to where on its line a character is.
_BRACKETS = "".join(re.escape(char) for char in written_as("<[`"))
INTEREST = re.compile(rf"[\n\r{_BRACKETS}]|{MAY_BEGIN.pattern}")
"""What a piece of text in the middle of a line has to contain to be looked at more closely."""
OPENING = re.compile(
    rf"[{_BRACKETS}{written_as('{')}]|{MAY_BEGIN.pattern}|[{written_as('a')}](?=[{written_as('c')}]|\Z)"
)
"""What any text but the first of an answer has to contain for the same."""


class Kind(Enum):
    MARKER = auto()
    REASONING = auto()
    FENCE = auto()  # a code fence opens or closes, and nothing more
    OTHER = auto()  # a call in another format
    OTHER_WHOLE = auto()  # one that counts only as the whole answer


class Found(NamedTuple):
    """What begins at ``lead`` with the white space and markdown before it, and ends at ``end``."""

    kind: Kind
    lead: int
    at: int
    end: int
    fenced: bool = False
    own_line: bool = False


class Place(NamedTuple):
    """What came before a text: ``blanks`` characters of white space since the last line break, or -1 when there was
    something else on its line; ``in_fence``, a code fence is open; ``fresh``, nothing at all was written."""

    blanks: int
    in_fence: bool
    fresh: bool

    def line_start(self, folded: str, at: int) -> bool:
        """``at`` is the first character of its line, white space apart."""
        line = folded.rfind("\n", max(at - LEAD_LIMIT - 1, 0), at) + 1
        if not line and (at > LEAD_LIMIT or not 0 <= self.blanks <= LEAD_LIMIT - at):
            return False
        return not folded[line:at].strip(" \t\r>")

    def answer_start(self, folded: str, at: int) -> bool:
        """``at`` is the first character of the answer, white space apart."""
        return self.fresh and at <= LEAD_LIMIT and not folded[:at].strip(LEAD)


class Scanner:
    """Looks through text for one request. ``others`` is None where calls in other formats are text."""

    __slots__ = ("_others", "_start")

    def __init__(self, start: Marker, others: OtherFormats | None) -> None:
        self._start = start
        self._others = others

    def scan(self, folded: str, place: Place, *, at_end: bool = False) -> Found | int:
        """What begins first in a text; or from where on it has to wait for more. With ``at_end`` no more comes."""
        candidates = _FENCED_CANDIDATE if place.in_fence else _CANDIDATE
        if self._others and place.fresh:
            named = self._bare_name(folded, place, at_end=at_end)
            if named is not None:
                return named
        at = 0
        while (candidate := candidates.search(folded, at)) is not None:
            start = candidate.end() - 1
            found = self._classify(folded, start, place, at_end=at_end)
            if isinstance(found, Found):
                return found
            if found is Verdict.MORE and not at_end:
                return lead(folded, start)
            run = _RUN.match(folded, start)
            at = run.end() if run else start + 1
        return lead(folded, len(folded))

    def _classify(self, folded: str, at: int, place: Place, *, at_end: bool) -> Found | Verdict:
        char = folded[at]
        if char == "f":
            return self._marker(folded, at, place)
        if char == "`":
            return self._fence(folded, at, place, at_end=at_end) if place.line_start(folded, at) else Verdict.NO
        if at and folded[at - 1] == "`":
            return Verdict.NO  # named in prose, as code
        if char in "<[":
            if (end := self._start.end_at(folded, at + 1)) >= 0:
                line_start = place.line_start(folded, at)
                return Found(Kind.MARKER, lead(folded, at), at + 1, end, own_line=line_start)
            if self._start.begins_at(folded, at + 1):
                return Verdict.MORE
            tag = reasoning.opening(folded, at)
            if isinstance(tag, int):
                return Found(Kind.REASONING, at, at, tag)
            if tag is Verdict.MORE:
                return tag
        if self._others is None:
            return Verdict.NO
        opened = self._others.opener(folded, at, line_start=place.line_start(folded, at))
        if isinstance(opened, Verdict):
            return opened
        if not opened.bare and (dressed := self._marker_behind(folded, at, opened.end, place)) is not None:
            return dressed
        verdict = self._others.names_a_tool(folded, opened, at_end=at_end)
        return Found(Kind.OTHER, lead(folded, at), at, opened.end) if verdict is Verdict.YES else verdict

    def _marker_behind(self, folded: str, at: int, opened: int, place: Place) -> Found | Verdict | None:
        """A marker after the opener of another format, which is then its dress."""
        body = _skip_lead(folded, opened)
        if (end := self._start.end_at(folded, body)) >= 0:
            return Found(Kind.MARKER, lead(folded, at), body, end, own_line=place.line_start(folded, at))
        waits = self._start.begins_at(folded, body) or body == len(folded) <= opened + LEAD_LIMIT
        return Verdict.MORE if waits else None

    def _marker(self, folded: str, at: int, place: Place) -> Found | Verdict:
        end = self._start.end_at(folded, at)
        if end >= 0:
            return Found(Kind.MARKER, lead(folded, at), at, end, place.in_fence, place.line_start(folded, at))
        return Verdict.MORE if self._start.begins_at(folded, at) else Verdict.NO

    def _fence(self, folded: str, at: int, place: Place, *, at_end: bool) -> Found | Verdict:
        fence = FENCE.match(folded, at)
        if fence is None and not place.in_fence and (on_line := self._marker_on_fence(folded, at)) is not None:
            return on_line
        if fence is None:
            return Verdict.MORE if FENCE_BEGUN.match(folded, at) else Verdict.NO
        if place.in_fence:
            return Verdict.NO if fence[1] else Found(Kind.FENCE, at, at, fence.end() - 1)
        body = _skip_lead(folded, fence.end())
        if body - at <= LEAD_LIMIT:
            if (end := self._start.end_at(folded, body)) >= 0:
                return Found(Kind.MARKER, lead(folded, at), body, end, fenced=True, own_line=True)
            if body == len(folded) or self._start.begins_at(folded, body):
                return Verdict.MORE
            verdict = self._fenced_other(folded, at, body, fence[1], place, at_end=at_end)
            if verdict is Verdict.MORE or isinstance(verdict, Found):
                return verdict
        return Found(Kind.FENCE, at, at, fence.end() - 1)

    def _marker_on_fence(self, folded: str, at: int) -> Found | Verdict | None:
        """A start marker in the place of a code fence's language."""
        run = _RUN.match(folded, at)
        body = run.end() if run else at
        if body - at < 3:
            return None
        if (end := self._start.end_at(folded, body)) >= 0:
            return Found(Kind.MARKER, lead(folded, at), body, end, fenced=True, own_line=True)
        return Verdict.MORE if self._start.begins_at(folded, body) else None

    def _fenced_other(
        self, folded: str, at: int, body: int, language: str, place: Place, *, at_end: bool
    ) -> Found | Verdict:
        if self._others is None:
            return Verdict.NO
        if "tool" in language:
            verdict = self._others.names_a_tool(folded, Opened(body), at_end=at_end)
            return Found(Kind.OTHER, lead(folded, at), at, body) if verdict is Verdict.YES else verdict
        if not place.answer_start(folded, at):
            return Verdict.NO
        verdict = self._others.named_call(folded, body, at_end=at_end)
        if verdict is Verdict.NO and folded[body] in "<[{":
            opened = self._others.opener(folded, body, line_start=True)
            if isinstance(opened, Verdict):
                return opened
            verdict = self._others.names_a_tool(folded, opened, at_end=at_end)
        if verdict in (Verdict.YES, Verdict.WHOLE):
            return Found(Kind.OTHER_WHOLE, 0, at, body, fenced=True)
        return verdict

    def _bare_name(self, folded: str, place: Place, *, at_end: bool) -> Found | int | None:
        """An answer that begins with the name of a tool: code, or a block without its start marker."""
        assert self._others is not None
        at = _skip_lead(folded, 0)
        if at == len(folded) or not place.answer_start(folded, at) or "```" in folded[:at]:
            return None
        verdict = self._others.named_call(folded, at, at_end=at_end)
        if verdict is Verdict.YES:
            return Found(Kind.OTHER, lead(folded, at), at, at)
        if verdict is Verdict.WHOLE:
            return Found(Kind.OTHER_WHOLE, 0, at, at)
        return lead(folded, at) if verdict is Verdict.MORE else None


def plain_end(text: str) -> int:
    """The same as ``lead`` at the end of a text that is not folded."""
    floor = max(len(text) - LEAD_LIMIT, 0)
    return floor + len(text[floor:].rstrip(HELD_BACK))


def _skip_lead(folded: str, at: int) -> int:
    part = folded[at : at + LEAD_LIMIT + 1]
    return at + len(part) - len(part.lstrip(LEAD))


def lead(folded: str, at: int) -> int:
    """Where the white space and markdown before ``at`` begins."""
    floor = max(at - LEAD_LIMIT, 0)
    return floor + len(folded[floor:at].rstrip(LEAD))
