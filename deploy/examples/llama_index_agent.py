"""LlamaIndex: an agent with a tool, streamed, by way of OpenAILike.

pip install llama-index-llms-openai-like
"""

import asyncio
import os
import sys

import openai
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from workflows.errors import WorkflowRuntimeError


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 25 °C, sunny"


llm = OpenAILike(
    model="stackspot-ai-chat",
    api_base=os.environ.get("PROXY_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("PROXY_API_KEY", "unused"),
    default_headers={"correlation-id": os.environ.get("CORRELATION_ID", "conversation-123")},
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=128_000,
    max_retries=0,
)
agent = FunctionAgent(tools=[get_weather], llm=llm, system_prompt="Use the tools you have.")


async def main() -> None:
    run = agent.run("What is the weather in Recife?")
    async for event in run.stream_events():
        if isinstance(event, AgentStream):
            print(event.delta, end="", flush=True)
    await run
    print()


try:
    asyncio.run(main())
except (openai.APIError, WorkflowRuntimeError) as error:
    sys.exit(str(error))
