"""OpenAI-compatible providers: Groq, Fireworks, OpenAI itself, or any endpoint that speaks Chat Completions."""

from dataclasses import dataclass
from typing import Any, cast

import msgspec
import orjson

from proxy.core.answer import Answer, Verbatim
from proxy.core.call import AssistantText, Call, Entry, SystemText, ToolResult, UserText
from proxy.core.dialect import Headers, Outgoing, Reader, Round
from proxy.core.upstreams.openai_errors import refusal
from proxy.core.upstreams.openai_stream import BodyRelay, ChunkReader, FrameRelay
from proxy.errors import InvalidRequest, ProxyError

DIALECT = "openai-chat"
OPTIONS_LIMIT = 64 * 1024
"""Bytes of ``stream_options``."""
_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}

_TRUE, _NULL = msgspec.Raw(b"true"), msgspec.Raw(b"null")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
"""An object whose values stay as they were written: numbers of any size, at any depth."""


@dataclass(frozen=True, slots=True)
class OpenAI:
    """The dialect towards one model of a provider.

    ``name`` is the configured model's, ``model`` the provider's. With ``collect`` answers are streamed from the
    provider and collected even for callers who do not stream.
    """

    name: str
    model: str
    collect: bool = False

    def exchange(self, call: Call, round: Round) -> "OpenAIExchange":
        relayed = call.dialect == DIALECT and (call.stream or not self.collect or call.answers > 1)
        fields = _fields(call.body if call.dialect == DIALECT else orjson.dumps(_body_of(call)))
        fields["model"] = msgspec.Raw(orjson.dumps(self.model))
        options = _options(fields.get("stream_options", _NULL))
        asked_for_usage = options.get("include_usage") == _TRUE
        if call.stream or not relayed:
            fields["stream"] = options["include_usage"] = _TRUE
            fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
        return OpenAIExchange(self, call, msgspec.json.encode(fields), relayed, drop_usage=not asked_for_usage)

    def refuse(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        return refusal(self.name, status, headers, body)

    def admit(self, call: Call) -> tuple[str, ...]:
        return () if call.dialect == DIALECT else call.unsupported


@dataclass(frozen=True, slots=True)
class OpenAIExchange:
    """``relayed`` answers go to the caller as they come."""

    dialect: OpenAI
    call: Call
    body: bytes
    relayed: bool
    drop_usage: bool

    @property
    def repeatable(self) -> bool:
        return True

    @property
    def outgoing(self) -> Outgoing:
        return Outgoing("/chat/completions", _HEADERS, self.body)

    def reader(self, sink: Answer) -> Reader:
        name, size = self.dialect.name, len(self.body)
        if not self.relayed:
            return ChunkReader(sink, name, size)
        verbatim = cast(Verbatim, sink)  # whoever speaks this dialect renders it, too
        if self.call.stream:
            return FrameRelay(verbatim, name, size, drop_usage=self.drop_usage)
        return BodyRelay(verbatim, name, size)


def _options(text: msgspec.Raw) -> dict[str, msgspec.Raw]:
    if memoryview(text).nbytes > OPTIONS_LIMIT:
        at = "stream_options"
        raise InvalidRequest(f"{at}: more than the {OPTIONS_LIMIT} bytes allowed", param=at)
    return _fields(text)


def _fields(text: bytes) -> dict[str, msgspec.Raw]:
    """The fields of an object, none of ``null``. Raises ``InvalidRequest``: it nests up to where its reader gave up,
    and this stands deeper on the stack."""
    try:
        return {} if text == _NULL else _FIELDS.decode(text)
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _body_of(call: Call) -> dict[str, Any]:
    """A request for a call that came in another dialect."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": call.system}] if call.system else []
    messages += [_message(entry) for entry in call.history]
    body: dict[str, Any] = {"messages": messages}
    if call.offered:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in call.offered
        ]
        body["tool_choice"] = call.choice.mode
        body["parallel_tool_calls"] = call.parallel_calls
    if call.stop:
        body["stop"] = list(call.stop)
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    if call.format is not None:
        schema = {"name": "answer", "schema": call.format.schema}
        body["response_format"] = (
            {"type": "json_object"} if call.format.schema is None else {"type": "json_schema", "json_schema": schema}
        )
    return body


def _message(entry: Entry) -> dict[str, Any]:
    match entry:
        case SystemText(text):
            return {"role": "system", "content": text}
        case UserText(text, name):
            return {"role": "user", "content": text} | ({"name": name} if name else {})
        case ToolResult(call_id, _, text):
            return {"role": "tool", "tool_call_id": call_id, "content": text}
        case AssistantText(text, calls):
            made = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
            return {"role": "assistant", "content": text or None} | ({"tool_calls": made} if made else {})
