"""StackSpot's event stream, read into an ``Answer``."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson

from proxy.core import sse
from proxy.core.answer import Answer, Finish, FinishReason, Usage, estimated_tokens
from proxy.core.upstreams.progress import BarrenBytes
from proxy.core.upstreams.stackspot_errors import in_stream_error
from proxy.errors import ProxyError, UpstreamBroken, UpstreamTruncated

_BARE_DELTA = re.compile(rb'data: \{"message": ?"([^"\\\x00-\x1f]{1,4096})"\}\n\n').fullmatch
"""An event that is a piece of text and nothing else, with nothing in it that JSON has to escape."""
LONGEST_COUNT = 15  # digits; more of them are no number of tokens
PORTION = 8192
"""Characters of one event that are worked off at once. What follows in the answer's filters takes up to a few
microseconds for each."""
_FAILED = re.compile(r"error|fail|time_?out|cancel|abort", re.IGNORECASE)
_FINISH: Mapping[str, FinishReason] = {
    "length": "length", "max_tokens": "length", "content_filter": "content_filter",
}  # fmt: skip


class StackSpotReader:
    """Reads the event stream of an agent into ``sink``: the text of one read is pushed as one piece.

    ``prompt_size`` in characters is what the prompt's tokens are estimated from when none are reported.
    ``unmarked_end`` is set when the answer was taken as whole only because its end marker is optional. While
    ``pending``, a large text is being pushed in portions, one for each ``receive_data`` without data.
    """

    __slots__ = (
        "_barren",
        "_decoder",
        "_end",
        "_end_optional",
        "_hide",
        "_id_seen",
        "_prompt_size",
        "_reason_last",
        "_rest",
        "_sink",
        "_texts",
        "_tokens",
        "ended",
        "events",
        "invalid",
        "pending",
        "progress",
        "unmarked_end",
    )

    def __init__(
        self,
        sink: Answer,
        prompt_size: int,
        *,
        end_optional: bool = False,
        hide: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.ended = False
        self.events = 0
        self.invalid = 0
        self.progress = 0  # characters of the answer
        self.pending = False
        self.unmarked_end = False
        self._rest = ""  # of a large text
        self._end: Finish | ProxyError | None = None  # after it
        self._sink = sink
        self._decoder = sse.Decoder()
        self._barren = BarrenBytes()
        self._prompt_size = prompt_size
        self._end_optional = end_optional
        self._hide = hide
        self._tokens: Mapping[str, object] = {}
        self._texts: list[str] = []
        # Either makes a clean end of the response the end of the answer; neither ends the reading.
        self._id_seen = False
        self._reason_last = False

    def receive_data(self, data: bytes) -> None:
        if self.pending:
            self._push(len(self._rest) if data else PORTION)
        if self.ended:
            return
        bare = _BARE_DELTA(data) if self._decoder.idle and self.events else None
        if bare is not None:  # as nearly always
            try:
                text = bare[1].decode()
            except UnicodeDecodeError:
                pass  # it is told of below
            else:
                self.events += 1
                self._reason_last = False
                self.progress += len(text)
                self._sink.text(text)
                return
        lines = self._decoder.receive_plain(data)
        if lines is None:
            self._read(self._decoder.receive_data(data))
        else:
            for part in (lines,) if len(lines) == 1 else (lines[:-1], lines[-1:]):  # the last ends many an answer
                if not self.ended and not self._deltas(part):
                    self._read([(b"", line) for line in part])
        if not self.ended:
            self._flush()
            if self._decoder.overflow:
                self._fail(UpstreamBroken("StackSpot sent a line that is too long for an event"))
            elif self._barren.exceeded(self.progress, len(data)):
                self._fail(UpstreamBroken("StackSpot sent 1 MB that holds nothing of the answer"))

    def receive_eof(self) -> None:
        if self.pending:
            self._push(len(self._rest))
        if self.ended:
            return
        last = self._decoder.receive_eof()
        if last is not None and last[1].strip() == b"[DONE]":
            self._finish("stop")
            return
        if last is not None and (message := _json(last[1])) is not None:  # whole but for its blank line
            self.events += 1
            self._event(*last, message)
            last = None
            if self.ended:
                return
        marked = self._id_seen or self._reason_last
        if last is None and (marked or self._end_optional):
            self.unmarked_end = not marked
            self._finish("stop")
        else:
            self._fail(UpstreamTruncated("StackSpot's answer ended before it was complete"))

    def receive_error(self, error: ProxyError) -> None:
        if self.pending:
            self.ended, self._end = True, error
            self._push(len(self._rest))
        elif not self.ended:
            self._fail(error)

    def usage(self) -> Usage:
        prompt = _count(self._tokens.get("input"))
        if prompt is None:
            parts = [_count(self._tokens.get(key)) for key in ("user", "enrichment")]
            prompt = sum(part or 0 for part in parts) if any(part is not None for part in parts) else None
        completion = _count(self._tokens.get("output"))
        return Usage(
            estimated_tokens(self._prompt_size) if prompt is None else prompt,
            estimated_tokens(self.progress) if completion is None else completion,
            estimated=prompt is None or completion is None,
        )

    def _deltas(self, lines: list[bytes]) -> bool:
        """Takes events that are all bare deltas, in one go; False if they are not."""
        try:
            deltas = _READ_DELTAS(lines[0] if len(lines) == 1 else b"\n".join(lines))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if len(deltas) != len(lines):
            return False
        self.events += len(lines)
        self._reason_last = False
        self._texts += [delta.message for delta in deltas]
        return True

    def _read(self, events: list[sse.Event]) -> None:
        for name, payload in events:
            self.events += 1
            self._event(name, payload.strip(), _json(payload) if payload else None)
            if self.ended:
                return

    def _event(self, name: bytes, data: bytes, message: object) -> None:
        if data == b"[DONE]":
            self._finish("stop")
        elif name == b"error":
            self._broke_off(message if isinstance(message, dict) else {})
        elif isinstance(message, dict):
            self._message(message)
        else:
            self.invalid += 1
            if data[:1] in (b"{", b"[", b'"'):  # it may have held text: an answer without it would not be whole
                self._fail(UpstreamBroken("StackSpot sent an event that cannot be read"))

    def _message(self, message: dict[str, Any]) -> None:
        if message.get("type") == "error" or message.get("error") or _is_envelope(message):
            self._broke_off(message)
            return
        if "choices" in message:  # one public client of StackSpot reads OpenAI's shape from this stream
            message = _from_openai(message)
        delta = message.get("message")
        if isinstance(delta, str):
            self._texts.append(delta)
        elif delta is not None:
            self.invalid += 1
            self._fail(UpstreamBroken("StackSpot sent an event whose message is no text"))
            return
        reason, tokens = message.get("stop_reason"), message.get("tokens")
        self._id_seen = self._id_seen or bool(message.get("message_id"))
        self._reason_last = "stop_reason" in message
        if isinstance(tokens, dict):
            self._tokens = tokens
        if reason and _FAILED.search(str(reason)):
            self._fail(UpstreamBroken("StackSpot says that its answer failed"))
        elif reason or tokens is not None:
            self._finish(_FINISH.get(str(reason).lower(), "stop"))

    def _broke_off(self, message: Mapping[str, object]) -> None:
        self._fail(in_stream_error(self._hide(orjson.dumps(message)) if message else b""))

    def _flush(self) -> None:
        if self._texts:
            text = "".join(self._texts)
            self._texts.clear()
            self.progress += len(text)
            if len(text) > PORTION:
                self._rest = text
                self._push(PORTION)
            elif text:
                self._sink.text(text)

    def _push(self, size: int) -> None:
        """Pushes so much of a large text, and behind the last of it the end."""
        text, self._rest = self._rest[:size], self._rest[size:]
        self.pending = bool(self._rest)
        self._sink.text(text)
        if not self.pending and self._end is not None:
            self._close(self._end)

    def _finish(self, reason: FinishReason) -> None:
        self._flush()
        self._close(Finish(reason))

    def _fail(self, error: ProxyError) -> None:
        self._flush()
        self._close(error)

    def _close(self, end: Finish | ProxyError) -> None:
        self.ended = True
        if self.pending:
            self._end = end
        elif isinstance(end, Finish):
            self._sink.finish(end)
        else:
            self._sink.fail(end)


class _Delta(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A piece of text and nothing else: nearly every event."""

    message: str


_READ_DELTAS = msgspec.json.Decoder(_Delta).decode_lines


def _json(data: bytes) -> object:
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value


def _is_envelope(message: dict[str, Any]) -> bool:
    return "message" not in message and isinstance(message.get("code"), str)


def _from_openai(message: dict[str, Any]) -> dict[str, Any]:
    """An event in OpenAI's shape as one of StackSpot's own; whatever it has of that stays."""
    choices, usage = message["choices"], message.get("usage")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    event = dict(message)
    if isinstance(delta := choice.get("delta") or choice.get("message"), dict):
        event["message"] = delta.get("content")
    if "finish_reason" in choice:
        event["stop_reason"] = choice["finish_reason"]
    if isinstance(usage, dict):
        event["tokens"] = {"input": usage.get("prompt_tokens"), "output": usage.get("completion_tokens")}
    return event


def _count(value: object) -> int | None:
    """A number of tokens, as a number or as a numeric string."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= LONGEST_COUNT:
        return int(value)
    return int(value) if isinstance(value, int | float) and 0 <= value < 10**LONGEST_COUNT else None
