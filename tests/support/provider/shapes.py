"""The JSON of answers, in OpenAI's exact shapes and with the extra keys that real providers add. Pure."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from proxy.simulator.wire import count_tokens, pieces
from tests.support.provider.script import Call

Json = dict[str, Any]

SUFFIX = "-0613"  # what really answered is a dated version of what was asked for
FINGERPRINT = "fp_44709d6fcb"


@dataclass(frozen=True, slots=True)
class Shapes:
    """One answer's chunks and bodies; `usage_key` puts `usage: null` into each chunk, as OpenAI does when asked."""

    model: str
    usage_key: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    request_id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, delta: Json, finish_reason: str | None = None, **more: object) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._base("chat.completion.chunk", [choice]) | ({"usage": None} if self.usage_key else {}) | more

    def usage_chunk(self, usage: Json) -> Json:
        return self._base("chat.completion.chunk", []) | {"usage": usage}

    def whole(self, text: str | None, calls: Sequence[Call], finish_reason: str | None, usage: Json | None) -> Json:
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id or call_id(),
                    "type": "function",
                    "function": {"name": call.name, "arguments": arguments(call)},
                }
                for call in calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        counts = {} if usage is None else {"usage": usage}
        return self._base("chat.completion", [choice]) | counts | {"x_groq": self.x_groq()}

    def x_groq(self, usage: Json | None = None) -> Json:
        """Groq's own key: in the first chunk, and with the counts in the finish chunk."""
        return {"id": self.request_id} | ({} if usage is None else {"usage": usage})

    def _base(self, object: str, choices: list[Json]) -> Json:
        return {
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
            **self.extra,
        }


def call_deltas(calls: Sequence[Call], *, whole: bool) -> Iterator[Json]:
    """For each call its head and the pieces of its arguments, or all of it at once."""
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": arguments(call) if whole else ""}
        head = {"index": index, "id": call.id or call_id(), "type": "function", "function": function}
        yield {"tool_calls": [head]}
        for piece in () if whole else pieces(arguments(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def arguments(call: Call) -> str:
    return call.arguments if isinstance(call.arguments, str) else orjson.dumps(call.arguments).decode()


def call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def usage(prompt: str, said: str) -> Json:
    read, written = count_tokens(prompt), count_tokens(said)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "queue_time": 0.001,  # Groq's
    }
