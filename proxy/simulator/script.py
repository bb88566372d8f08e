"""Answers as data: what a script can tell the simulator to do with one chat request.

Every field is optional. An answer without text, deltas, raw, body, status or refuse says what the built-in
answer would have said, in the way its other fields ask for. Counts named `after` are delta events, leading
and trailing empty ones included; a count beyond the last delta means after the last one.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Literal

from .refusals import RefusalName
from .strict import Invalid, read

Ending = Literal["clean", "close", "reset"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence in the middle of the stream."""

    seconds: float
    after: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """The stream ends early, without its final event.

    clean: the response ends as HTTP wants it. close: the connection is closed without the terminating chunk.
    reset: it is reset. half_event and half_utf8: half an event, or a part of a UTF-8 character, is the last
    that is sent, and `then` says how the response ends. Without `headers` not even the status line is sent.
    """

    how: Literal["clean", "close", "reset", "half_event", "half_utf8"]
    after: int = 0
    then: Ending = "clean"
    headers: bool = True

    @property
    def ending(self) -> Ending:
        if self.how == "half_event" or self.how == "half_utf8":
            return self.then
        return self.how


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error event inside the stream, in one of three forms; the response then ends cleanly.

    type: {"type":"error",...}. event: an event named error. object: {"error":{...}}.
    """

    form: Literal["type", "event", "object"]
    after: int = 0
    message: str = "The model failed while answering."
    code: str = "INFERENCE_5001_LLM_MODEL_ERROR"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; see each field. Seconds end in `_s`."""

    repeat: bool = False  # as the last of its list: stays for all later requests

    text: str | None = None  # cut into pieces like words, or into pieces of `delta_chars` characters
    delta_chars: int | None = None
    deltas: tuple[str, ...] | None = None  # in place of text: the deltas as they are

    before_status_s: float | None = None  # silence before the status line; None: as in the settings
    before_events_s: float = 0.0  # silence between the headers and the first event
    interval_s: float | None = None  # between deltas; None: as in the settings; 0: as fast as possible
    pause: Pause | None = None

    shape: Literal["bare", "full", "openai"] = "bare"
    null_stop_reason: bool = False  # every delta carries "stop_reason": null
    leading_empty: int = 0
    trailing_empty: int = 0
    endless_empty: bool = False  # empty deltas after the text, at the interval, until the caller leaves

    final: bool = True
    final_text: str = ""
    stop_reason: str | None = "stop"
    omit_stop_reason: bool = False
    tokens: Literal["input", "user", "null", "none"] | dict[str, object] = "input"  # none: no such key
    message_id: bool | str = True  # true: one is made up; false: no such key
    done: bool = False  # a [DONE] at the end
    linger_s: float = 0.0  # the connection stays open so long after the last event

    line_end: Literal["lf", "crlf"] = "lf"
    comments: bool = False
    ids: bool = False
    bom: bool = False
    split: int | None = None  # bytes per write, across events where no time lies between them
    split_gap_s: float = 0.0  # between these writes, so that they arrive one by one

    cut: Cut | None = None
    error: StreamError | None = None

    raw: str | None = None  # base64: the body, byte for byte
    content_type: str | None = None
    status: int | None = None
    body: object = None  # JSON, or a string for plain text
    headers: dict[str, str] = field(default_factory=dict)  # added to those of any answer
    refuse: RefusalName | None = None

    def __post_init__(self) -> None:
        for name, count in (("delta_chars", self.delta_chars), ("split", self.split)):
            if count == 0:
                raise Invalid(name, "must be at least 1")
        if self.status is not None and not 200 <= self.status <= 599:
            raise Invalid("status", "must be between 200 and 599")
        for name, value in (*self.headers.items(), ("content_type", self.content_type or "")):
            if any(ord(character) < 32 for character in name + value):
                raise Invalid("headers" if name in self.headers else name, "must not hold control characters")
        self._refuse_contradictions()
        if self.raw is not None:
            try:
                self.raw_bytes()
            except binascii.Error:
                raise Invalid("raw", "must be base64") from None

    def _refuse_contradictions(self) -> None:
        contents = ("text", "deltas", "raw", "body", "refuse")
        said = [name for name in contents if getattr(self, name) is not None]
        if len(said) > 1:
            raise Invalid(said[1], f"cannot stand beside {said[0]}")
        if self.status is not None and said and said[0] in ("text", "deltas", "refuse"):
            raise Invalid("status", f"cannot stand beside {said[0]}")
        if self.cut is not None and self.is_fixed:
            raise Invalid("cut", "needs an answer that is streamed")

    @property
    def is_fixed(self) -> bool:
        """Whether it is a status and a body at once, not a generation that is streamed."""
        has_status_only = self.status is not None and self.raw is None
        return self.refuse is not None or self.body is not None or has_status_only

    def raw_bytes(self) -> bytes:
        return base64.b64decode(self.raw or "", validate=True)


def read_script(value: object) -> tuple[Answer, ...]:
    """A script as it comes in over HTTP: a JSON list of answers."""
    if not isinstance(value, list):
        raise Invalid("", "a script must be a list of answers")
    return tuple(read(Answer, item, f"[{number}]") for number, item in enumerate(value))
