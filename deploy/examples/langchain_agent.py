"""LangChain: an agent with a tool, streamed.

pip install langchain langchain-openai
"""

import os
import sys

import openai
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"{city}: 25 °C, sunny"


model = ChatOpenAI(
    model="stackspot-ai-chat",
    base_url=os.environ.get("PROXY_URL", "http://127.0.0.1:4000") + "/v1",
    api_key=os.environ.get("PROXY_API_KEY", "unused"),
    # For one call alone: model.invoke(..., extra_headers={"correlation-id": ...})
    default_headers={"correlation-id": os.environ.get("CORRELATION_ID", "conversation-123")},
)
agent = create_agent(model, tools=[get_weather], system_prompt="Use the tools you have.")
question = {"messages": [{"role": "user", "content": "What is the weather in Recife?"}]}

try:
    for chunk, told in agent.stream(question, stream_mode="messages"):
        if told["langgraph_node"] == "model":
            print(chunk.text, end="", flush=True)
    print()
except openai.APIError as error:  # LangChain raises the OpenAI SDK's own errors
    sys.exit(f"{error.code}: {error.message}")
