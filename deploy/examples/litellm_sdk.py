"""LiteLLM's SDK: its four calls, and a tool.

pip install "litellm[mcp]"
"""

import asyncio
import json
import os
import sys
from typing import Any

import litellm
import openai

litellm.suppress_debug_info = True  # it prints to standard output


def get_weather(city: str) -> str:
    return f"{city}: 25 °C, sunny"


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION = {"role": "user", "content": "What is the weather in Recife?"}
proxy: dict[str, Any] = {
    "model": "openai/stackspot-ai-chat",  # openai/ and the name that the proxy knows
    "api_base": os.environ.get("PROXY_URL", "http://127.0.0.1:4000") + "/v1",
    "api_key": os.environ.get("PROXY_API_KEY", "unused"),
    "extra_headers": {"correlation-id": os.environ.get("CORRELATION_ID", "conversation-123")},
}


def with_a_tool() -> None:
    """``completion``, then the same streamed, once the tool has been called."""
    messages: list[Any] = [QUESTION]
    asked = litellm.completion(**proxy, messages=messages, tools=[TOOL]).choices[0].message
    messages.append(asked)
    for call in asked.tool_calls or []:
        result = get_weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    for chunk in litellm.completion(**proxy, messages=messages, tools=[TOOL], stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


async def asynchronous() -> None:
    """``acompletion``, whole and streamed."""
    answer = await litellm.acompletion(**proxy, messages=[QUESTION])
    print(answer.choices[0].message.content)
    async for chunk in await litellm.acompletion(**proxy, messages=[QUESTION], stream=True):
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


try:
    with_a_tool()
    asyncio.run(asynchronous())
except openai.APIError as error:  # what LiteLLM raises are subclasses of the OpenAI SDK's errors
    sys.exit(str(error))
