"""What an answer says, overheard on its way into the caller's wire format."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import orjson

from proxy.core.answer import Finish, Rendering, Verbatim
from proxy.core.upstreams.openai_stream import ChunkReader
from proxy.errors import ProxyError

TEXT_LIMIT = 32 * 1024  # characters kept of the text, and of the arguments of all calls together
FRAMES_LIMIT = 1024 * 1024  # bytes kept of frames that are passed on as they are


@dataclass(slots=True)
class Said:
    """A tool call."""

    name: str
    arguments: list[str] = field(default_factory=list)


class Transcript:
    """The text and the calls of an answer, as far as they are kept. ``left_out`` counts the characters, or the bytes
    of frames, that are not."""

    def __init__(self) -> None:
        self.calls: list[Said] = []
        self.left_out = 0
        self._texts: list[str] = []
        self._room = TEXT_LIMIT
        self._raw = bytearray()
        self._whole = False

    @property
    def text(self) -> str:
        self._read()
        return "".join(self._texts)

    def arguments_of_calls(self) -> list[tuple[str, str]]:
        """The name and the arguments of each call."""
        self._read()
        return [(call.name, "".join(call.arguments)) for call in self.calls]

    def add_text(self, piece: str) -> None:
        if kept := self._kept(piece):
            self._texts.append(kept)

    def add_call(self, name: str) -> None:
        self.calls.append(Said(name))

    def add_arguments(self, piece: str) -> None:
        if self.calls and (kept := self._kept(piece)):
            self.calls[-1].arguments.append(kept)

    def add_frames(self, data: bytes) -> None:
        kept = data[: FRAMES_LIMIT - len(self._raw)]
        self._raw += kept
        self.left_out += len(data) - len(kept)

    def add_body(self, data: bytes) -> None:
        self._whole = True
        self.add_frames(data)

    def _kept(self, piece: str) -> str:
        kept = piece[: self._room]
        self._room -= len(kept)
        self.left_out += len(piece) - len(kept)
        return kept

    def _read(self) -> None:
        """What went to the caller ready-made is looked into only now, when all of it is there."""
        raw, self._raw = bytes(self._raw), bytearray()
        if not raw:
            return
        if self._whole:
            raw = _as_chunk(raw)
        with suppress(AttributeError, TypeError):  # of another shape than chunks have
            ChunkReader(_Listener(self), "", 0).receive_data(raw)


def _as_chunk(body: bytes) -> bytes:
    """A whole answer as the one chunk of a stream; empty when it is no answer."""
    try:
        choice = orjson.loads(body)["choices"][0]
        calls = [call | {"index": index} for index, call in enumerate(choice["message"].get("tool_calls") or ())]
        delta = {"content": choice["message"].get("content"), "tool_calls": calls}
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return b""
    return b"data: " + orjson.dumps({"choices": [{"delta": delta}]}) + b"\n\n"


class _Listener:
    """A transcript as the ``Answer`` that frames are read into."""

    def __init__(self, transcript: Transcript) -> None:
        self.text = transcript.add_text
        self.arguments = transcript.add_arguments
        self._transcript = transcript

    def call(self, id: str, name: str) -> None:
        self._transcript.add_call(name)

    def reasoning(self, piece: str) -> None: ...
    def finish(self, end: Finish) -> None: ...
    def fail(self, error: ProxyError) -> None: ...


class Overheard:
    """A rendering that tells a transcript what it is told."""

    def __init__(self, rendering: Rendering, transcript: Transcript) -> None:
        self.take = rendering.take
        self.finish = rendering.finish
        self.fail = rendering.fail
        self._rendering = rendering
        self._transcript = transcript

    @property
    def chunks(self) -> int:
        return self._rendering.chunks

    def text(self, piece: str) -> None:
        self._transcript.add_text(piece)
        self._rendering.text(piece)

    def reasoning(self, piece: str) -> None:
        self._rendering.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        self._transcript.add_call(name)
        self._rendering.call(id, name)

    def arguments(self, piece: str) -> None:
        self._transcript.add_arguments(piece)
        self._rendering.arguments(piece)

    def frames(self, data: bytes, count: int) -> None:
        self._transcript.add_frames(data)
        cast(Verbatim, self._rendering).frames(data, count)

    def body(self, data: bytes) -> None:
        self._transcript.add_body(data)
        cast(Verbatim, self._rendering).body(data)
