"""Answers of OpenAI-compatible providers: relayed to callers who speak the same, or read into an ``Answer``."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from proxy.core import sse
from proxy.core.answer import Answer, Finish, FinishReason, Usage, Verbatim, estimated_tokens
from proxy.core.upstreams.openai_body import read_body
from proxy.core.upstreams.openai_errors import in_stream_error
from proxy.core.upstreams.openai_values import Misshapen, checked, items, mapping, read_usage, text_of
from proxy.core.upstreams.progress import BarrenBytes
from proxy.errors import ProxyError, UpstreamBroken, UpstreamTruncated

FRAME_LIMIT = sse.EVENT_LIMIT
BODY_LIMIT = 16 * 1024 * 1024

READ = frozenset({"role", "content", "tool_calls"})
"""Keys of a delta that are read, or say nothing."""

_FRAME_END = re.compile(rb"\r?\n(?:\r?\n)+")
_EMPTY = re.compile(rb'"delta"\s*:\s*\{\s*(?:(?:"role"\s*:\s*"\w+"|"\w+"\s*:\s*(?:""|null|\[\]|\{\}))\s*(?:,\s*)?)*\}')
_REASON = re.compile(rb'"finish_reason"\s*:\s*"')
_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


class _Reading:
    """What every reader of such a provider keeps. ``model`` is the configured name, for messages."""

    pending = False

    __slots__ = (
        "_answered_by",
        "_model",
        "_prompt_size",
        "_reason",
        "_usage",
        "ended",
        "events",
        "invalid",
        "progress",
    )

    def __init__(self, model: str, prompt_size: int) -> None:
        self.ended = False
        self.events = 0
        self.invalid = 0
        self.progress = 0
        self._model = model
        self._prompt_size = prompt_size
        self._usage: Usage | None = None
        self._answered_by: str | None = None
        self._reason: FinishReason | None = None

    def usage(self) -> Usage:
        if self._usage is not None:
            return self._usage
        return Usage(estimated_tokens(self._prompt_size), self._estimate(), estimated=True)

    def _estimate(self) -> int:
        return self.events

    def _note(self, chunk: Mapping[str, Any]) -> None:
        """Keeps what a chunk or a body tells of the answer as a whole."""
        if isinstance(model := chunk.get("model"), str):
            self._answered_by = self._answered_by or model
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = read_usage(usage) or self._usage
        for choice in items(chunk.get("choices")):
            if isinstance(choice, dict) and isinstance(reason := choice.get("finish_reason"), str):
                self._reason = _REASONS.get(reason, "stop")

    def _without_answer(self) -> ProxyError:
        return UpstreamBroken(f"{self._model!r} sent 1 MB that holds nothing of the answer")

    def _truncated(self) -> ProxyError:
        return UpstreamTruncated(f"the answer of {self._model!r} ended before it was complete")


class FrameRelay(_Reading):
    """Passes whole frames on as they are. They are looked into only for usage, the model that answered, errors
    and the end. Those before the first that carries something wait for it, so that a failure up to there can be told
    in another way. ``drop_usage`` leaves out the usage frame, for a caller who did not ask for one."""

    __slots__ = ("_barren", "_drop_usage", "_error", "_held", "_searched", "_sink", "_waiting", "_waiting_size")

    def __init__(self, sink: Verbatim, model: str, prompt_size: int, *, drop_usage: bool) -> None:
        super().__init__(model, prompt_size)
        self._sink = sink
        self._drop_usage = drop_usage
        self._barren = BarrenBytes()
        self._held = bytearray()
        self._error: ProxyError | None = None
        self._searched = 0  # of what is held, up to here there is no end of a frame
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    def receive_data(self, data: bytes) -> None:
        if self.ended:
            return
        if self.progress and self._answered_by is not None and not self._held and (frames := _plain_frames(data)):
            self.events += frames  # as nearly always
            self.progress += len(data)
            self._sink.frames(data, frames)
            return
        self._held += data
        ends = [found.end() for found in _FRAME_END.finditer(self._held, self._searched)]
        start = 0
        for end in ends:
            frame = bytes(self._held[start:end])
            start = end
            if self._passes(frame):
                self._waiting.append(frame)
                self._waiting_size += len(frame)
                if b'"delta"' in frame and not _EMPTY.search(frame):
                    self.progress += len(frame)
            if self.ended:
                break
        del self._held[:start]
        self._searched = max(0, len(self._held) - 3)
        if self.progress or self._waiting_size > FRAME_LIMIT:
            self._flush()
        if self.ended:
            self._end()
        elif len(self._held) > FRAME_LIMIT:
            self.receive_error(UpstreamBroken(f"{self._model!r} sent a line that is too long for an event"))
        elif self._barren.exceeded(self.progress, len(data)):
            self.receive_error(self._without_answer())

    def receive_eof(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._reason is None or bytes(self._held).strip():
            self._sink.fail(self._truncated())
        else:  # some providers leave the last frame out
            self._flush()
            self._sink.frames(b"data: [DONE]\n\n", 0)
            self._end()

    def receive_error(self, error: ProxyError) -> None:
        if not self.ended:
            self.ended = True
            self._sink.fail(error)

    def _passes(self, frame: bytes) -> bool:
        """Looks at a frame; whether it goes to the caller."""
        if frame.isspace():
            return True
        self.events += 1
        if not frame.isascii() and not _is_text(frame):
            self.ended = True
            self._error = UpstreamBroken(f"{self._model!r} sent an event that cannot be read")
            return False
        if self._answered_by is not None and not _of_note(frame):
            return True
        if (data := _data_of(frame)) is None:
            return True
        if data == b"[DONE]":
            self.ended = True
            return self._reason is not None  # or the answer is not whole, whatever this says
        chunk = _object(data)
        if chunk is None:
            self.invalid += 1
            return True
        if chunk.get("error"):
            self.ended = True
            self._error = in_stream_error(self._model, chunk["error"])
            return False
        self._note(chunk)
        return not (self._drop_usage and chunk.get("usage") and not chunk.get("choices"))

    def _end(self) -> None:
        if self._error is not None:
            self._sink.fail(self._error)
        elif self._reason is None:
            self._sink.fail(self._truncated())
        else:
            self._flush()
            self._sink.finish(Finish(self._reason, None, self._answered_by))

    def _flush(self) -> None:
        if self._waiting:
            self._sink.frames(b"".join(self._waiting), len(self._waiting))
            self._waiting.clear()
            self._waiting_size = 0


def _of_note(data: bytes) -> bool:
    """There may be something in it that the reader has to know of."""
    return b'"usage"' in data or b'"error"' in data or b"[DONE]" in data or _REASON.search(data) is not None


def _plain_frames(data: bytes) -> int:
    """How many frames these bytes are, if they are whole ones, each with a piece of the answer and nothing of note;
    0 if not, or if that takes a closer look."""
    if not data.endswith(b"\n\n") or _of_note(data):
        return 0
    frames = data.count(b"\n\n")
    if data.count(b'"delta"') != frames or _EMPTY.search(data) or not (data.isascii() or _is_text(data)):
        return 0
    return frames


class BodyRelay(_Reading):
    """Passes a whole answer on as it is, once it is all there."""

    __slots__ = ("_pieces", "_sink")

    def __init__(self, sink: Verbatim, model: str, prompt_size: int) -> None:
        super().__init__(model, prompt_size)
        self._sink = sink
        self._pieces: list[bytes] = []

    def receive_data(self, data: bytes) -> None:
        self._pieces.append(data)
        self.progress += len(data)
        if self.progress > BODY_LIMIT:
            self._pieces.clear()
            self.receive_error(UpstreamBroken(f"the answer of {self._model!r} is larger than 16 MB"))

    def receive_eof(self) -> None:
        if self.ended:
            return
        self.ended = True
        body = b"".join(self._pieces)
        self._pieces.clear()
        answer = read_body(body)
        if answer is None:
            self._sink.fail(UpstreamBroken(f"{self._model!r} answered with something that is no JSON"))
        elif error := answer.get("error"):
            self._sink.fail(in_stream_error(self._model, error))
        else:
            self.events = 1
            self._note(answer)
            self._sink.body(body)
            self._sink.finish(Finish(self._reason or "stop", None, self._answered_by))

    def receive_error(self, error: ProxyError) -> None:
        if not self.ended:
            self.ended = True
            self._sink.fail(error)


class ChunkReader(_Reading):
    """Reads a stream of chunks into an ``Answer``: to collect it, or for a caller who speaks something else."""

    __slots__ = ("_barren", "_calls", "_decoder", "_last", "_sink", "_thought")

    def __init__(self, sink: Answer, model: str, prompt_size: int) -> None:
        super().__init__(model, prompt_size)
        self._sink = sink
        self._decoder = sse.Decoder()
        self._barren = BarrenBytes()
        self._thought = 0  # deltas of something else than the answer, such as reasoning
        self._calls: set[int | None] = set()  # by index
        self._last: int | None = None

    def receive_data(self, data: bytes) -> None:
        if self.ended:
            return
        for _, payload in self._decoder.receive_data(data):
            self.events += 1
            self._chunk(payload.strip())
            if self.ended:
                return
        if self._decoder.overflow:
            self.receive_error(UpstreamBroken(f"{self._model!r} sent a line that is too long for an event"))
        elif self._barren.exceeded(self.progress + self._thought, len(data)):
            self.receive_error(self._without_answer())

    def receive_eof(self) -> None:
        if self.ended:
            return
        if self._reason is None or self._decoder.receive_eof() is not None:
            self.receive_error(self._truncated())
        else:
            self._finish(self._reason)

    def receive_error(self, error: ProxyError) -> None:
        if not self.ended:
            self.ended = True
            self._sink.fail(error)

    def _estimate(self) -> int:
        return estimated_tokens(self.progress)

    def _chunk(self, data: bytes) -> None:
        if data == b"[DONE]":
            if self._reason is None:
                self.receive_error(self._truncated())
            else:
                self._finish(self._reason)
            return
        chunk = _object(data)
        if chunk is None:
            self._unreadable()
            return
        if chunk.get("error"):
            self.receive_error(in_stream_error(self._model, chunk["error"]))
            return
        self._note(chunk)
        try:
            for choice in checked(chunk.get("choices"), list) or []:
                self._delta(mapping(mapping(choice).get("delta")))
        except Misshapen:
            self._unreadable()

    def _unreadable(self) -> None:
        self.invalid += 1
        self.receive_error(UpstreamBroken(f"{self._model!r} sent an event that cannot be read"))

    def _delta(self, delta: Mapping[str, Any]) -> None:
        """Raises ``Misshapen`` for what is not as it should be: an answer without it would not be whole."""
        if any(value for name, value in delta.items() if name not in READ):
            self._thought += 1
        if text := text_of(delta.get("content")):
            self.progress += len(text)
            self._sink.text(text)
        for call in map(mapping, checked(delta.get("tool_calls"), list) or []):
            index, function = checked(call.get("index"), int), mapping(call.get("function"))
            name, arguments = text_of(function.get("name")), text_of(function.get("arguments"))
            if index not in self._calls:
                self._calls.add(index)
                self._last = index
                self._sink.call(text_of(call.get("id")), name)
            elif index != self._last:
                raise Misshapen("pieces of two calls in turns")
            if arguments:
                self.progress += len(arguments)
                self._sink.arguments(arguments)

    def _finish(self, reason: FinishReason) -> None:
        self.ended = True
        self._sink.finish(Finish(reason, None, self._answered_by))


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _data_of(frame: bytes) -> bytes | None:
    """The data of a frame; None for one that is only comments."""
    lines = [line[5:].strip() for line in frame.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
