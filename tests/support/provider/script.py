"""Answers as data: what a script can tell the provider to do with one chat request.

Every field is optional. An answer without text, deltas, tool_calls, raw, body, status or redirect says what the
built-in answer would have said, in the way its other fields ask for. Counts named `after` are deltas: those of
the text, then of each call its head and the pieces of its arguments. The role chunk is not one; a count beyond
the last delta means after the last one.
"""

from dataclasses import dataclass, field
from typing import Literal

from proxy.simulator.script import Answer as SimulatorAnswer
from proxy.simulator.script import Cut, Pause
from proxy.simulator.strict import Invalid, convert

_CONTENTS = ("text", "deltas", "tool_calls")
_SHARED = (
    "delta_chars",
    "before_events_s",
    "linger_s",
    "line_end",
    "comments",
    "split",
    "split_gap_s",
    "cut",
    "raw",
    "content_type",
    "status",
    "body",
    "headers",
)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. Arguments that are a string go out as they are, valid or not; without an id one is made up."""

    name: str
    arguments: str | dict[str, object] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class StreamError:
    """`data: {"error": {...}}` inside the stream, which then ends cleanly."""

    after: int = 0
    message: str = "The server had an error while processing your request."
    type: str = "server_error"
    param: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; see each field. Seconds end in `_s`. Those in _SHARED mean what they mean to the simulator."""

    repeat: bool = False  # as the last of its list: stays for all later requests

    text: str | None = None  # cut into pieces like words, or into pieces of `delta_chars` characters
    delta_chars: int | None = None
    deltas: tuple[str, ...] | None = None  # in place of text: the deltas as they are
    tool_calls: tuple[Call, ...] | None = None  # behind the text, if there is any
    whole_calls: bool = False  # each call is one delta, as Groq sends them
    role: Literal["chunk", "first", "every", "none"] = "chunk"  # a chunk of its own, or in the first or every delta
    model: str | None = None  # None: the one that was asked for, with a suffix
    extra: dict[str, object] = field(default_factory=dict)  # further keys of every chunk and of a whole answer

    before_status_s: float = 0.0  # silence before the status line
    before_events_s: float = 0.0  # silence between the headers and the first event
    interval_s: float = 0.0  # between deltas
    pause: Pause | None = None  # {seconds, after}
    linger_s: float = 0.0  # the connection stays open so long after the last event

    finish: bool = True  # whether there is a chunk with a finish_reason
    finish_reason: str | None = None  # None: stop or tool_calls
    usage: bool | dict[str, object] | None = None  # true: always; false: never; counts, or None: when it is asked for
    usage_at: Literal["chunk", "finish"] = "chunk"  # a chunk of its own, or in the finish chunk, as Fireworks has it
    done: bool = True  # whether [DONE] is sent

    line_end: Literal["lf", "crlf"] = "lf"
    comments: bool = False  # a comment line before each event
    split: int | None = None  # bytes per write, across events where no time lies between them
    split_gap_s: float = 0.0  # between these writes, so that they arrive one by one

    cut: Cut | None = None  # {how: clean|close|reset|half_event|half_utf8, after, then, headers}
    error: StreamError | None = None

    raw: str | None = None  # base64: the body, byte for byte
    content_type: str | None = None
    status: int | None = None  # from 400 on without a body: OpenAI's error body for it
    body: object = None  # JSON, or a string for plain text
    headers: dict[str, str] = field(default_factory=dict)  # added to those of any answer
    redirect: str | None = None  # where to; the status is 307 unless another is given

    def __post_init__(self) -> None:
        manner = self.manner  # which refuses what the simulator would
        said = [name for name in _CONTENTS if getattr(self, name) is not None]
        instead = [name for name in ("raw", "body", "status", "redirect") if getattr(self, name) is not None]
        if said and instead:
            raise Invalid(instead[0], f"cannot stand beside {said[0]}")
        if said[:2] == ["text", "deltas"]:
            raise Invalid("deltas", "cannot stand beside text")
        if self.redirect is not None and (self.raw is not None or self.body is not None or self.cut is not None):
            raise Invalid("redirect", "cannot stand beside raw, body or cut")
        if self.redirect is not None and not 300 <= (manner.status or 307) <= 399:
            raise Invalid("status", "must be between 300 and 399 for a redirect")

    @property
    def manner(self) -> SimulatorAnswer:
        """What the simulator's own code has to know of this answer."""
        return SimulatorAnswer(**{name: getattr(self, name) for name in _SHARED})


def read_script(value: object) -> tuple[Answer, ...]:
    """A script as it comes in over HTTP: a JSON list of answers."""
    answers = convert(tuple[Answer, ...], value, "")
    assert isinstance(answers, tuple)
    return answers
