"""The OpenAI SDK for Python: a loop with one tool, streamed.

pip install openai
"""

import os
import sys
from typing import Any

import openai
from pydantic import BaseModel, Field


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str = Field(description="its name")


client = openai.OpenAI(
    base_url=os.environ.get("PROXY_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("PROXY_API_KEY", "unused"),
    # One id for all that this client sends; for one request alone: create(..., extra_headers={"correlation-id": ...})
    default_headers={"correlation-id": os.environ.get("CORRELATION_ID", "conversation-123")},
)
tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]
messages: list[Any] = [{"role": "user", "content": "What is the weather in Recife?"}]

try:
    while True:
        with client.chat.completions.stream(model="stackspot-ai-chat", messages=messages, tools=tools) as stream:
            for event in stream:
                if event.type == "content.delta":
                    print(event.delta, end="", flush=True)
            answer = stream.get_final_completion().choices[0].message
        if not answer.tool_calls:
            break
        messages.append(answer)
        for call in answer.tool_calls:
            city = GetWeather.model_validate_json(call.function.arguments).city
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}: 25 °C, sunny"})
    print()
except openai.APIStatusError as error:  # refused: nothing of the answer has come
    sys.exit(f"{error.status_code} {error.code}: {error.message} (request {error.request_id})")
except openai.APIError as error:  # in the middle of the stream, or no connection
    sys.exit(f"{error.code}: {error.message}")
