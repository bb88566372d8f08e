"""Requests to a running proxy, and what came back."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.processes import Proxy

PATH = "/v1/chat/completions"
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


HELLO = "planted: hello"
"""What is asked unless a test says otherwise, and quoted by the simulator: neither is ever told."""


def body(text: str = HELLO, **fields: Any) -> dict[str, Any]:
    return {"model": "stackspot-ai-chat", "messages": [{"role": "user", "content": text}]} | fields


def ask(proxy: Proxy, correlation_id: str, **fields: Any) -> httpx.Response:
    """One request that is not streamed."""
    return proxy.client.post(PATH, headers={"correlation-id": correlation_id}, json=body(**fields))


@contextmanager
def stream(proxy: Proxy, correlation_id: str, **fields: Any) -> Iterator[httpx.Response]:
    """A streamed request, its answer still to be read."""
    headers = {"correlation-id": correlation_id}
    with proxy.client.stream("POST", PATH, headers=headers, json=body(stream=True, **fields)) as reply:
        yield reply


def frames(reply: httpx.Response) -> list[Any]:
    """The data of every event, read to the end: objects, and ``[DONE]`` as it is."""
    datas = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


def text_of(found: list[Any]) -> str:
    chunks = [frame for frame in found if frame != "[DONE]" and frame.get("choices")]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def finish_of(found: list[Any]) -> str | None:
    reasons = [frame["choices"][0]["finish_reason"] for frame in found if frame != "[DONE]" and frame.get("choices")]
    return next((reason for reason in reasons if reason), None)
