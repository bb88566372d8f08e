"""A chat service, as a caller's dialect: ``{model, messages, params}`` comes in, ``{output, provider, model, usage,
latency_ms}`` goes out. Streams, errors and messages are OpenAI's."""

from typing import Any

import msgspec
from msgspec import Struct

from proxy.core.answer import Finish, Rendering, Usage
from proxy.core.call import Call
from proxy.core.callers.chat import ChatStream, own, refuse, to_json, usage_object
from proxy.core.callers.chat_decode import decode
from proxy.core.callers.chat_request import read_request
from proxy.core.callers.chat_schema import Count, Messages, ModelName, Request, ResponseFormat, Temperature, Unit
from proxy.core.dialect import Refusal
from proxy.errors import ProxyError, UpstreamBroken


class Params(Struct):
    temperature: Temperature | None = None
    top_p: Unit | None = None
    max_tokens: Count | None = None
    seed: int | None = None
    stream: bool | None = None
    json_mode: bool | None = None


class ServiceRequest(Struct):
    model: ModelName
    messages: Messages
    params: Params | None = None


class _AsWritten(Struct):
    messages: msgspec.Raw


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Choices(Struct, array_like=True):
    """Of a list the first item; the decoder skips the others without building them."""

    first: _Choice


class _Answer(Struct):
    choices: _Choices


_ANSWER = msgspec.json.Decoder(_Answer)
_DECODER = msgspec.json.Decoder(ServiceRequest)
_MESSAGES = msgspec.json.Decoder(_AsWritten)


class ChatService:
    routes = ("/chat",)
    correlated = False

    def read(self, body: bytes, id: str, created: int) -> Call:
        service, body = decode(_DECODER, body)
        params = service.params or Params()
        messages = _MESSAGES.decode(body)
        request = Request(
            model=service.model,
            messages=service.messages,
            temperature=params.temperature,
            top_p=params.top_p,
            max_tokens=params.max_tokens,
            seed=params.seed,
            stream=params.stream,
            response_format=ResponseFormat("json_object") if params.json_mode else None,
        )
        return read_request(request, _as_openai(request, messages.messages), id, created)

    def stream(self, call: Call) -> Rendering:
        return ChatStream(own(call))

    def whole(self, call: Call) -> Rendering:
        return ServiceAnswer()

    def refuse(self, error: ProxyError) -> Refusal:
        return refuse(error)


def _as_openai(request: Request, messages: msgspec.Raw) -> bytes:
    """The request in OpenAI's form, for providers: of the messages also what is not known here."""
    fields: dict[str, Any] = {"model": request.model, "messages": messages}
    for name in ("temperature", "top_p", "max_tokens", "seed", "stream"):
        if (value := getattr(request, name)) is not None:
            fields[name] = value
    if request.response_format is not None:
        fields["response_format"] = {"type": "json_object"}
    return msgspec.json.encode(fields)


class ServiceAnswer:
    """An answer as one body, given out when it is finished."""

    def __init__(self) -> None:
        self.chunks = 0
        self._texts: list[str] = []
        self._body = b""

    def text(self, piece: str) -> None:
        self._texts.append(piece)

    def reasoning(self, piece: str) -> None:
        """It is no part of the output."""

    def call(self, id: str, name: str) -> None:
        """No tools are offered."""

    def arguments(self, piece: str) -> None: ...

    def frames(self, data: bytes, count: int) -> None:
        raise TypeError("a whole answer takes a body")

    def body(self, data: bytes) -> None:
        """A whole answer of a provider. Raises ``UpstreamBroken`` when there is none in it."""
        try:
            self._texts.append(_ANSWER.decode(data).choices.first.message.content or "")
        except (msgspec.MsgspecError, RecursionError):
            raise UpstreamBroken("the provider's answer holds no message") from None

    def finish(self, end: Finish) -> None:
        served = end.served
        answer = {
            "output": "".join(self._texts),
            "provider": served.provider if served else None,
            "model": end.model or (served.target if served else None),
            "usage": usage_object(end.usage or Usage(0, 0)),
            "latency_ms": round(served.seconds * 1000, 3) if served else None,
        }
        self.chunks += 1
        self._body = to_json(answer)

    def fail(self, error: ProxyError) -> None:
        """Nothing of it has gone out, so the error becomes the response itself."""

    def take(self) -> bytes:
        body, self._body = self._body, b""
        return body
