"""PydanticAI: an agent with a tool, streamed.

pip install "pydantic-ai-slim[openai]"
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 25 °C, sunny"


client = AsyncOpenAI(
    base_url=os.environ.get("PROXY_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("PROXY_API_KEY", "unused"),
    # For one run alone: agent.run(..., model_settings={"extra_headers": {"correlation-id": ...}})
    default_headers={"correlation-id": os.environ.get("CORRELATION_ID", "conversation-123")},
)
model = OpenAIChatModel("stackspot-ai-chat", provider=OpenAIProvider(openai_client=client))
agent = Agent(model, tools=[get_weather], system_prompt="Use the tools you have.")


async def main() -> None:
    async with agent.run_stream("What is the weather in Recife?") as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            print(text, end="", flush=True)
    print()


try:
    asyncio.run(main())
except ModelAPIError as error:  # ModelHTTPError, its subclass, also has the status and the body
    sys.exit(str(error))
