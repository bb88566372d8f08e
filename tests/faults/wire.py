"""What upstreams write when nothing is wrong, in pieces that faults are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from tests.faults.upstream import Steps

LAST = b"0\r\n\r\n"
EVENTS = "text/event-stream"
JSON = "application/json"


def head(content_type: str, status: str = "200 OK", framing: str = "transfer-encoding: chunked", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", framing, *more, "", ""]
    return "\r\n".join(lines).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Wire:
    """One way in which an upstream answers. ``delta`` makes what carries a text, ``opening`` and ``closing`` stand
    round all of them; ``error`` tells of a failure inside the answer."""

    content_type: str
    delta: Callable[[str], bytes]
    opening: bytes
    closing: bytes
    error: bytes

    @property
    def head(self) -> bytes:
        return head(self.content_type)

    @property
    def part(self) -> bytes:
        """The first part of an answer."""
        return self.opening + self.delta("ab") + self.delta("cd")

    @property
    def rest(self) -> bytes:
        return self.delta("ef") + self.closing

    def whole(self) -> Steps:
        return [self.head + chunk(self.part), chunk(self.rest) + LAST]


def _openai(choice: dict[str, object], kind: str = "chat.completion.chunk", **more: object) -> dict[str, object]:
    base = {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "gpt-4-0613"}
    return base | {"choices": [{"index": 0, "finish_reason": None} | choice]} | more


_WHOLE = orjson.dumps(
    _openai({"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}, "chat.completion")
)
_BEFORE, _, _BEHIND = _WHOLE.partition(b'"content":"')
_FAILURE = {"error": {"message": "The model failed.", "type": "server_error", "param": None, "code": None}}

STACKSPOT = Wire(
    content_type=EVENTS,
    delta=lambda text: event({"message": text}),
    opening=b"",
    closing=event({"message": "", "stop_reason": "stop", "tokens": {"input": 3, "output": 3}, "message_id": "01JZ4M7Q2X9WB3TKD5R8VHNC6E"}),
    error=event({"type": "error", "message": "The model failed.", "code": "INFERENCE_5001_LLM_MODEL_ERROR"}),
)  # fmt: skip
CHUNKS = Wire(
    content_type=EVENTS,
    delta=lambda text: event(_openai({"delta": {"content": text}})),
    opening=event(_openai({"delta": {"role": "assistant", "content": ""}})),
    closing=event(_openai({"delta": {}, "finish_reason": "stop"})) + b"data: [DONE]\n\n",
    error=event(_FAILURE),
)
BODY = Wire(
    content_type=JSON,
    delta=lambda text: orjson.dumps(text)[1:-1],
    opening=_BEFORE + b'"content":"',
    closing=_BEHIND,
    error=orjson.dumps(_FAILURE),
)
"""An answer of a provider that is not streamed: the texts are parts of one string."""


@dataclass(frozen=True, slots=True)
class Way:
    """From a caller to an upstream and back: ``model`` is what the caller asks for."""

    name: str
    model: str
    streamed: bool
    wire: Wire


WAYS = (
    Way("StackSpot, stream", "agent", True, STACKSPOT),
    Way("StackSpot, whole", "agent", False, STACKSPOT),
    Way("provider, stream", "gpt", True, CHUNKS),
    Way("provider, whole", "gpt", False, BODY),
    Way("provider, collected", "collected", False, CHUNKS),
)
