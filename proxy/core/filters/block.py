"""One tool call as a model writes it: what follows a start marker, up to the end of the arguments."""

import json
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

import orjson

from proxy.core.filters.lexer import JsonLexer

HEADER_LIMIT = 512
"""Characters from the start marker to the end of the name line, and from there to the arguments. What takes
longer was prose."""

_TEXT_BEHIND = "text goes on behind the arguments; a quote inside a string may not be escaped"
DOUBT_LIMIT = 4096
"""How far behind the arguments an end marker is looked for, when other text stands there, or white space alone."""

_TO_NAME = re.compile(r"[ \t\r]*\n\s*")
_NAME = re.compile(r"(?:function_name[ \t]*:)?[ \t]*([`\"']?)([\w.:/-]{1,128})\1")
_LABEL = re.compile(r"arguments[ \t]*:", re.IGNORECASE)
_NOTHING = re.compile(r"(?:null|None)\s")
_LABEL_BEGUN = re.compile(r"arguments[ \t]*", re.IGNORECASE)
FENCE = re.compile(r"`{3,16}[ \t]{0,16}[\w+.-]{0,32}[ \t\r]{0,16}\n")
FENCE_BEGUN = re.compile(r"`{1,2}|`{3,16}[ \t]{0,16}[\w+.-]{0,32}[ \t\r]{0,16}")


class MarkerPair(NamedTuple):
    """The two lines that a call is written between."""

    start: str
    end: str


class Outcome(Enum):
    READING = auto()
    PROSE = auto()  # the marker did not begin a call: ``written`` is plain text
    COMPLETE = auto()  # ``name`` and ``arguments`` are there
    UNREADABLE = auto()  # ``fault`` says why
    TOO_LONG = auto()


class CallBlock:
    """Reads one call: NAME -> OPENING -> VALUE -> ARGUMENTS -> CLOSE (-> DOUBT), each state a method that works on
    what is held and says whether it got on. It ends before the end marker, or the next start marker.

    ``limit`` bounds the arguments in characters; ``fences`` is how many code fences are open round it. ``opened``
    turns true once ``name`` is final and arguments come; ``take`` then gives them as they arrive, mended. They are
    checked as a whole at the end.
    """

    def __init__(self, pair: MarkerPair, limit: int, fences: int = 0) -> None:
        self.outcome = Outcome.READING
        self.name = ""
        self.fault = ""
        self.opened = False
        self.fences = fences
        """Code fences whose closing lines are still to come."""
        self._pair = pair
        self._limit = limit
        self._state: Callable[[], bool] = self._in_name
        self._held = ""
        self._written: list[str] = []
        self._lexer = JsonLexer()
        self._quoted = False
        self._arguments: list[str] = []
        self._taken = 0
        self._space = 0  # before the arguments
        self._skipped = 0  # behind them
        self._same_line = True  # as the last bracket
        self._doubt = ""

    @property
    def written(self) -> str:
        """The block as the model wrote it, without the start marker."""
        return "".join(self._written)

    @property
    def arguments(self) -> str:
        return "".join(self._arguments)

    def take(self) -> str:
        """The arguments read since the last call."""
        fresh = self._arguments[self._taken :]
        self._taken = len(self._arguments)
        return "".join(fresh)

    def receive_text(self, text: str) -> str:
        """Reads on. Returns what lies behind the block, once ``outcome`` says that it has ended."""
        self._held += text
        while self._held and self.outcome is Outcome.READING and self._state():
            pass
        if self.outcome is Outcome.READING:
            return ""
        rest, self._held = self._held, ""
        return rest

    def receive_eof(self, known: Callable[[str], bool]) -> str:
        """The text has ended: settles ``outcome``, and returns what lies behind the block. One that ends before its
        arguments was prose, unless it names a tool that is ``known``."""
        if self._state in (self._in_close, self._in_doubt):
            self._complete()
            return self._doubt
        if self._state == self._in_name or (self._state == self._in_opening and not known(self.name)):
            self._prose()
        else:
            self._consume(len(self._held))
            self._unreadable("the text ends inside the call")
        return ""

    # The states.

    def _in_name(self) -> bool:
        start = _TO_NAME.match(self._held)
        if start is None:
            return bool(self._held.strip(" \t\r") or len(self._held) > HEADER_LIMIT) and self._prose()
        end = self._held.find("\n", start.end())
        if end < 0 or end > HEADER_LIMIT:
            return len(self._held) > HEADER_LIMIT and self._prose()
        name = _NAME.fullmatch(self._held[start.end() : end].strip())
        if name is None or name[2] in self._pair:
            return self._prose()
        self.name = name[2]
        self._consume(end + 1)
        return self._go(self._in_opening)

    def _in_opening(self) -> bool:
        body = self._held.lstrip()
        space = len(self._held) - len(body)
        if space > HEADER_LIMIT:
            return self._prose()
        if label := _LABEL.match(body):
            self._consume(space + label.end())
            return self._go(self._in_value)
        if body.startswith(("{", self._pair.end)):
            return self._go(self._in_value)
        begun = "arguments".startswith(body.lower()) or self._pair.end.startswith(body) or _LABEL_BEGUN.fullmatch(body)
        return not (begun and len(self._held) <= HEADER_LIMIT) and self._prose()

    def _in_value(self) -> bool:
        body = self._held.lstrip()
        space = len(self._held) - len(body)
        self._consume(space)
        self._space += space
        if self._space > HEADER_LIMIT:
            return self._unreadable("the arguments do not begin")
        if not body:
            return False
        if body[0] in '{"':
            self._quoted = body[0] == '"'
            self.opened = not self._quoted
            return self._go(self._in_arguments)
        if fence := FENCE.match(body):
            self.fences += 1
            self._consume(fence.end())
            return True
        if body.startswith(self._pair):
            self._arguments.append("{}")
            return self._complete()
        if _NOTHING.match(body):
            self._arguments.append("{}")
            self._consume(4)
            return self._go(self._in_close)
        if len(body) <= HEADER_LIMIT and (
            FENCE_BEGUN.fullmatch(body) or any(word.startswith(body) for word in (*self._pair, "null", "None"))
        ):
            return False
        return self._unreadable("the arguments are not a JSON object")

    def _in_arguments(self) -> bool:
        read = self._lexer.receive_text(self._held)
        self._consume(read)
        self._limit -= read
        if piece := self._lexer.take():
            self._arguments.append(piece)
        if self._lexer.fault:
            return self._unreadable(self._lexer.fault)
        if self._limit < 0:
            return self._end(Outcome.TOO_LONG)
        return self._lexer.complete and self._go(self._in_close)

    def _in_close(self) -> bool:
        """Behind the last bracket. Stray brackets and the closing lines of fences belong to the call; a marker ends
        it. Other text on the same line means that the bracket was not the last: it stood in a string whose quotes
        are not escaped."""
        body = self._held.lstrip(" \t\r\n}])")
        skipped = len(self._held) - len(body)
        self._same_line = self._same_line and "\n" not in self._held[:skipped]
        self._skipped += skipped
        if self._skipped > DOUBT_LIMIT:  # it may go on like this for ever
            self._consume(max(skipped - (self._skipped - DOUBT_LIMIT), 0))
            return self._complete()
        self._consume(skipped)
        if not body:
            return False
        if body.startswith(self._pair):
            return self._complete()
        if fence := FENCE.match(body):
            self.fences = max(self.fences - 1, 0)
            self._skipped += fence.end()
            self._same_line = False
            self._consume(fence.end())
            return True
        if FENCE_BEGUN.fullmatch(body) or any(marker.startswith(body) for marker in self._pair):
            return False
        if self._same_line:
            return self._unreadable(_TEXT_BEHIND)
        return self._go(self._in_doubt)

    def _in_doubt(self) -> bool:
        """Other text on a line of its own. If the end marker comes behind it, it was part of the arguments."""
        self._doubt += self._held
        self._held = ""
        window = self._doubt[:DOUBT_LIMIT]
        end, start = window.find(self._pair.end), window.find(self._pair.start)
        if end >= 0 and not 0 <= start < end:
            self._written.append(self._doubt)
            return self._unreadable(_TEXT_BEHIND)
        if start < 0 and len(self._doubt) <= DOUBT_LIMIT:
            return False
        self._held, self._doubt = self._doubt, ""
        return self._complete()

    # Their ends.

    def _complete(self) -> bool:
        if self._quoted:
            self._unquote()
        if not self.fault and _object(self.arguments) is None:
            self.fault = "the arguments are not valid JSON"
        self.opened = self.opened or not self.fault
        return self._end(Outcome.UNREADABLE if self.fault else Outcome.COMPLETE)

    def _unquote(self) -> None:
        """The whole arguments came as one JSON string: what it holds are the arguments."""
        inner = JsonLexer()
        try:
            text = str(json.loads(self.arguments, strict=False)).strip()
        except ValueError:
            text = ""
        self._arguments = []
        if text.startswith("{") and inner.receive_text(text) == len(text) and inner.complete:
            self._arguments.append(inner.take())
        else:
            self.fault = "the arguments are a string, not an object"

    def _prose(self) -> bool:
        self._consume(len(self._held))
        return self._end(Outcome.PROSE)

    def _unreadable(self, fault: str) -> bool:
        self.fault = fault
        return self._end(Outcome.UNREADABLE)

    def _end(self, outcome: Outcome) -> bool:
        self.outcome = outcome
        return True

    def _go(self, state: Callable[[], bool]) -> bool:
        self._state = state
        return True

    def _consume(self, count: int) -> None:
        self._written.append(self._held[:count])
        self._held = self._held[count:]


def _object(text: str) -> dict[str, object] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # orjson refuses escaped lone surrogates, which are JSON all the same
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
