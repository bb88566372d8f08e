"""OpenAI Chat Completions, as a caller's dialect."""

import json

import orjson

from proxy.core.answer import Finish, Rendering, Usage
from proxy.core.call import Call
from proxy.core.callers import chat_request
from proxy.core.callers.chat_request import ChatCall
from proxy.core.dialect import Refusal
from proxy.errors import ProxyError

LONGEST_RETRY_S = 60  # openai-python does not wait for longer ones
PIECE_CHARS = 8192
"""At most so many characters in one chunk: 32 KB at the most; beyond it some clients' line readers break."""


class Chat:
    routes = ("/v1/chat/completions", "/chat/completions")
    correlated = True

    def read(self, body: bytes, id: str, created: int) -> Call:
        return chat_request.read(body, id, created)

    def stream(self, call: Call) -> Rendering:
        return ChatStream(own(call))

    def whole(self, call: Call) -> Rendering:
        return ChatWhole(own(call))

    def refuse(self, error: ProxyError) -> Refusal:
        return refuse(error)


def own(call: Call) -> ChatCall:
    assert isinstance(call, ChatCall), "a call goes back to the dialect that read it"
    return call


def refuse(error: ProxyError) -> Refusal:
    """An error as OpenAI's clients read it, with the headers their retries go by."""
    headers = {"content-type": "application/json"}
    if error.retry_after is not None:
        headers["retry-after"] = str(min(max(error.retry_after, 1), LONGEST_RETRY_S))
    if error.hopeless:
        headers["x-should-retry"] = "false"
    return Refusal(error.status, headers, _error_json(error))


_AFTER_TEXT = (
    b'},"logprobs":null,"finish_reason":null}]}\n\n',
    b'},"logprobs":null,"finish_reason":null}],"usage":null}\n\n',  # where usage is asked for
)


class ChatStream:
    """An answer as chunks: server-sent events, the text of one read as one chunk."""

    __slots__ = (
        "_after_text",
        "_bare_call",
        "_before_text",
        "_begun",
        "_calls",
        "_head",
        "_include_usage",
        "_legacy",
        "_out",
        "_relayed",
        "_texts",
        "_usage_null",
        "chunks",
    )

    def __init__(self, call: ChatCall) -> None:
        usage = b',"usage":null' if call.include_usage else b""
        self.chunks = 0
        self._head = b"data: " + _head(call, "chat.completion.chunk") + b',"choices":['
        self._before_text = self._head + b'{"index":0,"delta":{"content":'
        self._after_text = _AFTER_TEXT[call.include_usage]
        self._usage_null = usage
        self._include_usage = call.include_usage
        self._legacy = call.legacy_functions
        self._texts: list[str] = []
        self._out: list[bytes] = []
        self._begun = False
        self._relayed = False
        self._calls = 0
        self._bare_call = False  # the call opened last has no arguments yet

    def text(self, piece: str) -> None:
        self._texts.append(piece)

    def reasoning(self, piece: str) -> None:
        self._flush()
        self._begin()
        for at in range(0, len(piece), PIECE_CHARS):
            self._chunk(b'{"reasoning_content":' + to_json(piece[at : at + PIECE_CHARS]) + b"}")

    def call(self, id: str, name: str) -> None:
        self._flush()
        self._begin()
        function = {"name": name, "arguments": ""}
        opened = {"index": self._calls, "id": id, "type": "function", "function": function}
        self._chunk(orjson.dumps({"function_call": function} if self._legacy else {"tool_calls": [opened]}))
        self._calls += 1
        self._bare_call = True

    def arguments(self, piece: str) -> None:
        if not piece:
            return
        self._bare_call = False
        for at in range(0, len(piece), PIECE_CHARS):
            text = to_json(piece[at : at + PIECE_CHARS])
            self._chunk(
                b'{"function_call":{"arguments":%b}}' % text
                if self._legacy
                else b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (self._calls - 1, text)
            )

    def frames(self, data: bytes, count: int) -> None:
        self._out.append(data)
        self.chunks += count
        self._relayed = True

    def body(self, data: bytes) -> None:
        raise TypeError("a stream takes frames")

    def finish(self, end: Finish) -> None:
        if self._relayed:
            return
        self._flush()
        self._begin()
        self._out.append(
            b'%b{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}]%b}\n\n'
            % (self._head, _reason(end, self._legacy).encode(), self._usage_null)
        )
        self.chunks += 1
        if self._include_usage:
            usage = orjson.dumps(usage_object(end.usage or Usage(0, 0)))
            self._out.append(b'%b],"usage":%b}\n\n' % (self._head, usage))
            self.chunks += 1
        self._out.append(b"data: [DONE]\n\n")

    def fail(self, error: ProxyError) -> None:
        self._flush()
        self._out.append(b"data: " + _error_json(error) + b"\n\n")

    def take(self) -> bytes:
        if self._texts:
            bare = self._begun and not (self._bare_call or self._out)
            if bare and len(self._texts) == 1 and 0 < len(self._texts[0]) <= PIECE_CHARS:  # as nearly always
                self.chunks += 1
                return self._before_text + to_json(self._texts.pop()) + self._after_text
            self._flush()
        if not self._out:
            return b""
        out = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return out

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._chunk(b'{"role":"assistant","content":""}')
        if self._bare_call:
            self.arguments("{}")

    def _flush(self) -> None:
        if not self._texts:
            return
        text = self._texts[0] if len(self._texts) == 1 else "".join(self._texts)
        self._texts.clear()
        if not text:
            return
        if not self._begun or self._bare_call:
            self._begin()
        if len(text) <= PIECE_CHARS:
            self._chunk(b'{"content":' + to_json(text) + b"}")
            return
        for at in range(0, len(text), PIECE_CHARS):
            self._chunk(b'{"content":' + to_json(text[at : at + PIECE_CHARS]) + b"}")

    def _chunk(self, delta: bytes) -> None:
        self._out.append(self._head + b'{"index":0,"delta":' + delta + self._after_text[1:])
        self.chunks += 1


class ChatWhole:
    """An answer as one body, given out when it is finished."""

    def __init__(self, call: ChatCall) -> None:
        self.chunks = 0
        self._call = call
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[tuple[str, str, list[str]]] = []
        self._body = b""

    def text(self, piece: str) -> None:
        self._texts.append(piece)

    def reasoning(self, piece: str) -> None:
        self._reasoning.append(piece)

    def call(self, id: str, name: str) -> None:
        self._calls.append((id, name, []))

    def arguments(self, piece: str) -> None:
        self._calls[-1][2].append(piece)

    def frames(self, data: bytes, count: int) -> None:
        raise TypeError("a whole answer takes a body")

    def body(self, data: bytes) -> None:
        self._body = data

    def finish(self, end: Finish) -> None:
        self.chunks += 1
        if self._body:
            return
        text = "".join(self._texts)
        message: dict[str, object] = {
            "role": "assistant",
            "content": text if text or not self._calls else None,
            "refusal": None,
        }
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        functions = [{"name": name, "arguments": "".join(pieces) or "{}"} for _, name, pieces in self._calls]
        if functions and self._call.legacy_functions:
            message["function_call"] = functions[0]
        elif functions:
            ids = [made[0] for made in self._calls]
            calls = zip(ids, functions, strict=True)
            message["tool_calls"] = [{"id": id_, "type": "function", "function": made} for id_, made in calls]
        reason = _reason(end, self._call.legacy_functions)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        rest = to_json({"choices": [choice], "usage": usage_object(end.usage or Usage(0, 0))})
        self._body = _head(self._call, "chat.completion", end.model) + b"," + rest[1:]

    def fail(self, error: ProxyError) -> None:
        """Nothing of it has gone out, so the error becomes the response itself."""

    def take(self) -> bytes:
        body, self._body = self._body, b""
        return body


def _reason(end: Finish, legacy: bool) -> str:
    return "function_call" if legacy and end.reason == "tool_calls" else end.reason


def _head(call: Call, kind: str, answered_by: str | None = None) -> bytes:
    """The beginning of every object of one answer, left open. ``answered_by`` is the model, if it was said."""
    head = {"id": f"chatcmpl-{call.id}", "object": kind, "created": call.created, "model": answered_by or call.model}
    return orjson.dumps(head)[:-1]


def to_json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # a lone surrogate, which UTF-8 cannot carry
        return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def usage_object(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _error_json(error: ProxyError) -> bytes:
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return orjson.dumps({"error": {**body, **error.fields}})
