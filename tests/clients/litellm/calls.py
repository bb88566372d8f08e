"""Runs in LiteLLM's own environment: makes every call against the proxy at the URL given, and prints what came.

The last line printed is JSON: what each call brought, by its name. A call's correlation id is ``litellm-`` and its
name, so that the test can script its answer.
"""

import asyncio
import json
import sys
from typing import Any

import litellm

QUESTION = {"role": "user", "content": "Qual o tempo em São Paulo?"}
RESULT = "Tempo em São Paulo: 25°C, ensolarado"
WEATHER = {
    "type": "function",
    "function": {
        "name": "buscar_tempo",
        "description": "O tempo numa cidade",
        "parameters": {"type": "object", "properties": {"cidade": {"type": "string"}}, "required": ["cidade"]},
    },
}


def options(name: str) -> dict[str, Any]:
    """What every call needs to reach the proxy."""
    return {
        "model": "openai/stackspot-chat",
        "messages": [QUESTION],
        "api_base": f"{sys.argv[1]}/v1",
        "api_key": "fake-key",
        "max_retries": 0,
        "extra_headers": {"correlation-id": f"litellm-{name}"},
    }


def whole(response: Any) -> dict[str, Any]:
    """A response's parts that the test looks at."""
    [choice] = response.choices
    return {
        "model": response.model,
        "content": choice.message.content,
        "finish_reason": choice.finish_reason,
        "usage": [response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens],
        "tool_calls": [
            {"id": call.id, "name": call.function.name, "arguments": json.loads(call.function.arguments)}
            for call in choice.message.tool_calls or []
        ],
    }


def streamed(chunks: list[Any]) -> dict[str, Any]:
    """The same of a stream, put together by LiteLLM itself, and the pieces that its text came in."""
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    return whole(litellm.stream_chunk_builder(chunks)) | {"pieces": [text for text in texts if text]}


def completion(name: str, **more: Any) -> dict[str, Any]:
    """``completion``, without a stream."""
    return whole(litellm.completion(**options(name) | more))


def streaming(name: str, **more: Any) -> dict[str, Any]:
    """``completion``, with one."""
    stream = litellm.completion(**options(name) | more, stream=True, stream_options={"include_usage": True})
    return streamed(list(stream))


async def acompletion(name: str) -> dict[str, Any]:
    """``acompletion``, without a stream."""
    return whole(await litellm.acompletion(**options(name)))


async def astreaming(name: str) -> dict[str, Any]:
    """``acompletion``, with one."""
    stream = await litellm.acompletion(**options(name), stream=True, stream_options={"include_usage": True})
    return streamed([chunk async for chunk in stream])


def round_trip(name: str, call: Any) -> list[dict[str, Any]]:
    """A tool's call, and what is said once its result is there."""
    first = call(name, tools=[WEATHER])
    [made] = first["tool_calls"]
    function = {"name": made["name"], "arguments": json.dumps(made["arguments"], ensure_ascii=False)}
    messages = [
        QUESTION,
        {"role": "assistant", "tool_calls": [{"id": made["id"], "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": made["id"], "content": RESULT},
    ]
    return [first, call(name, tools=[WEATHER], messages=messages)]


def missing_id(name: str) -> dict[str, Any]:
    """What is raised without a correlation id."""
    try:
        return completion(name, extra_headers={})
    except litellm.BadRequestError as error:
        return {"raised": type(error).__name__, "status": error.status_code, "code": error.code}


def cut(name: str) -> dict[str, Any]:
    """What is raised when a stream breaks off, and the text that came before."""
    text = ""
    try:
        for chunk in litellm.completion(**options(name), stream=True):
            text += chunk.choices[0].delta.content or ""
    except litellm.exceptions.MidStreamFallbackError as error:
        return {"raised": type(error).__name__, "text": text}
    return {"raised": None, "text": text}


def main() -> None:
    """Makes all calls, one after the other."""
    litellm.suppress_debug_info = True
    results: dict[str, Any] = {
        "completion": completion("completion"),
        "streaming": streaming("streaming"),
        "acompletion": asyncio.run(acompletion("acompletion")),
        "astreaming": asyncio.run(astreaming("astreaming")),
        "tools": round_trip("tools", completion),
        "streamed_tools": round_trip("streamed_tools", streaming),
        "missing_id": missing_id("missing_id"),
        "cut": cut("cut"),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
