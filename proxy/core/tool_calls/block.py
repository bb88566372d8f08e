"""One block as a model writes it: what follows a start marker, up to the end marker or what came in its place.

state       reads                               then
HEAD        the name, or the beginning of JSON  VALUE, ARGUMENTS, CLOSE; or the marker opened nothing
VALUE       up to the first brace               ARGUMENTS; CLOSE where there are no arguments
ARGUMENTS   one JSON value, mended on the way   CLOSE
CLOSE       what belongs to the call after it   complete; DOUBT
DOUBT       other text, on a line of its own    complete; unreadable if an end marker follows
"""

import json
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

import orjson

from proxy.core.tool_calls.fences import FENCE, FENCE_BEGUN
from proxy.core.tool_calls.head import HEADER_LIMIT, Form, HeadReader, skip_dress
from proxy.core.tool_calls.json_lexer import JsonLexer, object_in_string
from proxy.core.tool_calls.markers import MAY_BEGIN, Markers, fold, written_as
from proxy.core.tool_calls.written_as_json import WrittenCall, calls_in

DOUBT_LIMIT = 4096
"""How far after the arguments an end marker is looked for, when other text comes first."""
WRITTEN_LIMIT = 8192
"""Characters that are kept of a block as it was written, for the model to see."""
MARKER_DRESS_LIMIT = 64

_TEXT_BEHIND = "text goes on behind the arguments; a quote inside a string may not be escaped"
_CUT_OFF = "the text ends inside the call"
_NOTHING = re.compile(r"\(?(?:null|none|nil|empty|n/a)\)?[.;,]?(?=\s)")
_NOTHING_BEGUN = re.compile(r"\(?[a-z/]{0,5}\)?[.;,]?\Z")
_NOTHINGS = frozenset(("", "null", "none", "nil", "empty", "n/a"))
_STRAY = " \t\r\n}])"
_STOPS = ";.,"
_COMMENT = re.compile(r"(?://|#)[^\n\"{}]{0,512}(?=\n)|/\*[^\"{}]{0,512}?\*/")
_COMMENT_BEGUN = re.compile(r"(?:/\Z|(?://|#)[^\n\"{}]{0,512}\Z|/\*[^\"{}]{0,512}\Z)")
_NEXT_OBJECT = re.compile(r"\{\s{0,64}\"(?:name|tool|function|tool_name|function_name)\"")
_NEXT_OBJECT_BEGUN = re.compile(r"\{\s{0,64}(?:\"(?:[a-z_]{0,13}\"?)?)?\Z")


class Outcome(Enum):
    READING = auto()
    PROSE = auto()  # the marker opened nothing: ``written`` is plain text
    COMPLETE = auto()  # ``calls`` are there
    UNREADABLE = auto()  # ``fault`` says why
    TOO_LONG = auto()


class Grammar(NamedTuple):
    """What the blocks of one request are read by. ``limit`` bounds the arguments of a call, in characters."""

    markers: Markers
    heads: HeadReader
    limit: int


class CallBlock:
    """Reads one block. ``own_line``: nothing stood before the start marker on its line.

    Attributes:
        fences: code fences around the block whose closing lines are still to come.
        opened: ``name`` is final and arguments arrive; ``take`` gives them, mended. They are checked at the end.
        continues: another call follows in the same block, without a start marker of its own.
        doubtful: the marker may be part of a sentence about calls.
        cut_off: the text ended inside the block.
    """

    def __init__(self, grammar: Grammar, *, fences: int = 0, own_line: bool = True) -> None:
        self.outcome = Outcome.READING
        self.name = ""
        self.fault = ""
        self.calls: list[WrittenCall] = []
        self.opened = False
        self.fences = fences
        self.continues = False
        self.doubtful = False
        self.cut_off = False
        self._grammar = grammar
        self._own_line = own_line
        self._limit = grammar.limit
        self._state: Callable[[], bool] = self._in_head
        self._at_end = False
        self._held = ""
        self._written: list[str] = []
        self._written_size = 0
        self._lexer = JsonLexer()
        self._quoted = False
        self._as_json = False
        self._arguments: list[str] = []
        self._taken = 0
        self._space = 0  # before the arguments
        self._skipped = 0  # after them
        self._same_line = True  # as the last bracket
        self._doubt = ""

    @property
    def written(self) -> str:
        """The block as the model wrote it, without the start marker, up to ``WRITTEN_LIMIT`` characters."""
        return "".join(self._written)[:WRITTEN_LIMIT]

    @property
    def held(self) -> int:
        """Characters that are looked at again when more text comes."""
        return len(self._held)

    def take(self) -> str:
        """The arguments read since the last call of this method."""
        fresh = self._arguments[self._taken :]
        self._taken = len(self._arguments)
        return "".join(fresh)

    def receive_text(self, text: str) -> str:
        """Reads on. Returns what comes after the block, once ``outcome`` says that it has ended."""
        self._held += text
        while self._held and self.outcome is Outcome.READING and self._state():
            pass
        return self._rest()

    def receive_eof(self) -> str:
        """The text has ended: settles ``outcome``. Returns what comes after the block."""
        self._at_end = True
        while self.outcome is Outcome.READING:
            self._state()
        return self._rest()

    def _rest(self) -> str:
        if self.outcome is Outcome.READING:
            return ""
        rest, self._held, self._doubt = self._doubt + self._held, "", ""
        return rest

    # The states. Each works on what is held and says whether it got on.

    def _in_head(self) -> bool:
        head = self._grammar.heads.read(self._held, own_line=self._own_line, at_end=self._at_end)
        if head.form is Form.MORE:
            return False
        if head.form is Form.PROSE:
            self._consume(len(self._held))
            return self._ended(Outcome.PROSE)
        self.name = head.name
        self.fences += head.fences
        self._consume(head.end)
        if head.form is Form.UNREADABLE:
            self.doubtful = head.doubtful
            self.cut_off = self._at_end and not self._held.strip()
            return self._unreadable(head.fault)
        if head.form is Form.BARE:
            self._arguments.append("{}")
            return self._go(self._in_close)
        self._as_json = head.form is Form.JSON
        return self._go(self._in_arguments if self._as_json else self._in_value)

    def _in_value(self) -> bool:
        folded = fold(self._held[: HEADER_LIMIT + MARKER_DRESS_LIMIT])
        space = skip_dress(folded, 0)
        self._consume(space)
        self._space += space
        folded = folded[space:]
        if self._space > HEADER_LIMIT:
            return self._unreadable("the arguments do not begin")
        if folded and folded[0] in '{"':
            self._quoted = folded[0] == '"'
            self.opened = not self._quoted
            return self._go(self._in_arguments)
        if fence := FENCE.match(folded):
            self.fences += 1
            self._space += fence.end()
            self._consume(fence.end())
            return True
        if self._grammar.markers.one_at(folded, 0):
            return self._without_arguments(0)
        if nothing := _NOTHING.match(f"{folded}\n" if self._at_end else folded):
            return self._without_arguments(min(nothing.end(), len(folded)))
        if self._at_end:
            self.cut_off = True
            self._consume(len(self._held))
            return self._unreadable(_CUT_OFF)
        if (
            not folded
            or FENCE_BEGUN.match(folded)
            or self._grammar.markers.may_begin_at(folded, 0)
            or _NOTHING_BEGUN.match(folded)
        ):
            return False
        return self._unreadable("the arguments are not a JSON object")

    def _without_arguments(self, consumed: int) -> bool:
        self._consume(consumed)
        self._arguments.append("{}")
        return self._go(self._in_close)

    def _in_arguments(self) -> bool:
        """Feeds the lexer. An end marker outside a string ends the arguments, whether they are whole or not."""
        if not self._at_end and MAY_BEGIN.search(self._held) is None:
            self._feed(_before_dress(self._held, len(self._held)))
            return (self._lexer.complete or bool(self._lexer.fault) or self._limit < 0) and self._after_lexer()
        folded = fold(self._held)
        marker, behind = self._grammar.markers.end.find(folded)
        place = marker if marker >= 0 else len(folded) if self._at_end else self._grammar.markers.end.hold_from(folded)
        read = self._feed(_before_dress(folded, place) if marker >= 0 or not self._at_end else place)
        if self._lexer.complete or self._lexer.fault or self.outcome is not Outcome.READING:
            return self._after_lexer()
        if marker >= 0 and self._lexer.in_string:
            self._feed(behind - read)
            return self._after_lexer() if self._lexer.complete or self._lexer.fault else True
        if marker >= 0:
            self._lexer.close_last_brace()
            return self._after_lexer()
        if self._at_end:
            self.cut_off = True
            return self._unreadable(_CUT_OFF)
        return False

    def _feed(self, size: int) -> int:
        """Gives the lexer so many characters of what is held. Returns how many it took."""
        read = self._lexer.receive_text(self._held[:size])
        self._consume(read)
        self._limit -= read
        if piece := self._lexer.take():
            self._arguments.append(piece)
        if self._limit < 0:
            self._ended(Outcome.TOO_LONG)
        return read

    def _after_lexer(self) -> bool:
        if self.outcome is not Outcome.READING:
            return True
        if piece := self._lexer.take():
            self._arguments.append(piece)
        return self._go(self._in_close) if self._lexer.complete else self._unreadable(self._lexer.fault)

    def _in_close(self) -> bool:
        """After the last bracket. Stray brackets, a full stop, a comment and the closing lines of fences belong to the
        call. Other text on the same line means that the bracket was not the last: it was in a string whose quotes are
        not escaped."""
        body = self._held.lstrip(_STRAY)
        skipped = len(self._held) - len(body)
        self._same_line = self._same_line and "\n" not in self._held[:skipped]
        self._skipped += skipped
        if self._skipped > DOUBT_LIMIT:  # it may go on like this for ever
            self._consume(max(skipped - (self._skipped - DOUBT_LIMIT), 0))
            return self._complete()
        self._consume(skipped)
        if not body:
            return self._at_end and self._complete()
        folded = fold(body[: HEADER_LIMIT * 2])
        dress = skip_dress(folded, 0)
        if self._grammar.markers.one_at(folded, dress):
            self._consume(dress)
            return self._complete()
        if fence := FENCE.match(folded):
            self.fences = max(self.fences - 1, 0)
            self._same_line = False
            return self._skip(fence.end())
        waits = (
            FENCE_BEGUN.match(folded)
            or self._grammar.markers.may_begin_at(folded, dress)
            or dress == len(folded) <= HEADER_LIMIT
        )
        if waits and not self._at_end:
            return False
        return self._other_text(folded, dress)

    def _other_text(self, folded: str, dress: int) -> bool:
        if self._same_line:
            if folded[0] in _STOPS:
                return self._skip(1)
            if comment := _COMMENT.match(f"{folded}\n" if self._at_end else folded):
                marker, _ = self._grammar.markers.end.find(folded[: comment.end()])
                return self._skip(marker if marker > 0 else min(comment.end(), len(folded)))
            if not self._at_end and _COMMENT_BEGUN.match(folded):
                return False
            if dress:
                return self._skip(dress)
        if (another := self._another(folded)) is not None:
            self.continues = another
            return another and self._complete()
        if self._at_end:
            return self._unreadable(_TEXT_BEHIND) if self._same_line else self._complete()
        return self._unreadable(_TEXT_BEHIND) if self._same_line else self._go(self._in_doubt)

    def _another(self, folded: str) -> bool | None:
        """Another call follows in the block: False while that is not certain, None if it does not."""
        if self._as_json:
            if _NEXT_OBJECT.match(folded):
                return True
            return False if _NEXT_OBJECT_BEGUN.match(folded) and not self._at_end else None
        if self._same_line:
            return None
        head = self._grammar.heads.read(self._held, own_line=True)
        if head.form is Form.VALUE:
            value = self._held[head.end :].lstrip()
            if value.startswith("{"):
                return True
            return None if value or self._at_end else False
        return False if head.form is Form.MORE and not self._at_end else None

    def _in_doubt(self) -> bool:
        """Other text on a line of its own. If the end marker follows it, it was part of the arguments."""
        self._doubt += self._held
        self._held = ""
        window = fold(self._doubt[:DOUBT_LIMIT])
        (end, _), (start, _) = self._grammar.markers.end.find(window), self._grammar.markers.start.find(window)
        if end >= 0 and not 0 <= start < end:
            return self._unreadable(_TEXT_BEHIND)
        if start < 0 and len(self._doubt) <= DOUBT_LIMIT and not self._at_end:
            return False
        return self._complete()

    # Their ends.

    def _complete(self) -> bool:
        arguments = "".join(self._arguments)
        if self._as_json:
            self.calls, self.fault = calls_in(arguments, self._grammar.heads.names)
        else:
            if self._quoted:
                arguments = self._unquoted(arguments)
            if not self.fault and as_object(arguments) is None:
                self.fault = "the arguments are not valid JSON"
            self.calls = [WrittenCall(self.name, arguments)]
        if self.fault:
            return self._unreadable(self.fault)
        if self._quoted:
            self._arguments, self._taken = [arguments], 0
        self.opened = True
        return self._ended(Outcome.COMPLETE)

    def _unquoted(self, arguments: str) -> str:
        """The whole arguments came as one JSON string: what it holds are the arguments."""
        try:
            text = str(json.loads(arguments, strict=False)).strip()
        except ValueError:
            text = "?"
        if text.lower() in _NOTHINGS:
            return "{}"
        if (inner := object_in_string(text)) is not None:
            return inner
        self.fault = "the arguments are a string, not an object"
        return ""

    def _unreadable(self, fault: str) -> bool:
        self.fault = fault
        return self._ended(Outcome.UNREADABLE)

    def _ended(self, outcome: Outcome) -> bool:
        self.outcome = outcome
        return True

    def _go(self, state: Callable[[], bool]) -> bool:
        self._state = state
        return True

    def _skip(self, count: int) -> bool:
        self._skipped += count
        self._consume(count)
        return True

    def _consume(self, count: int) -> None:
        if self._written_size < WRITTEN_LIMIT:
            self._written.append(self._held[: min(count, WRITTEN_LIMIT)])
            self._written_size += count
        self._held = self._held[count:]


def as_object(text: str) -> dict[str, object] | None:
    """The JSON object that ``text`` is, None if it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # orjson refuses escaped lone surrogates, which are JSON all the same
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


_MARKER_DRESS = written_as(" \t\r\n`*#>~_<[-")


def _before_dress(folded: str, at: int) -> int:
    """Where the white space and markdown before a marker at ``at`` begins."""
    floor = max(at - MARKER_DRESS_LIMIT, 0)
    return floor + len(folded[floor:at].rstrip(_MARKER_DRESS))
