"""A pytest plugin for LangChain's own environment: models that point at the proxy, and the simulator behind it.

The two addresses come from the environment variables PROXY_URL and SIMULATOR_URL.
"""

import os
from collections.abc import Awaitable, Callable
from functools import reduce
from operator import add
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI

Ask = Callable[[Runnable, Any], Awaitable[Any]]


class Simulator:
    """The simulator as one test sees it: answers and records under a correlation id of the test's own."""

    def __init__(self) -> None:
        self.correlation_id = f"langchain-{uuid4().hex}"
        self._url = f"{os.environ['SIMULATOR_URL']}/_simulator"

    def script(self, *answers: dict[str, Any]) -> None:
        """The answers to the next requests, in order."""
        httpx.put(f"{self._url}/scripts/{self.correlation_id}", json=answers).raise_for_status()

    def says(self, *texts: str) -> None:
        """The texts of the next answers, sent in pieces that cut every marker."""
        self.script(*({"text": text, "delta_chars": 7, "interval_s": 0} for text in texts))

    @property
    def prompts(self) -> list[str]:
        """What StackSpot was asked so far."""
        found = httpx.get(f"{self._url}/requests", params={"correlation_id": self.correlation_id})
        return [exchange["body"]["user_prompt"] for exchange in found.raise_for_status().json()]


def model_fields(simulator: Simulator) -> dict[str, Any]:
    """What points LangChain's model for OpenAI at the proxy."""
    return {
        "model": "stackspot-chat",
        "base_url": f"{os.environ['PROXY_URL']}/v1",
        "api_key": "unused",
        "max_retries": 0,
        "stream_usage": True,
        "default_headers": {"correlation-id": simulator.correlation_id},
    }


def chat_model(simulator: Simulator, **fields: Any) -> ChatOpenAI:
    """LangChain's model for OpenAI, pointed at the proxy."""
    return ChatOpenAI(**model_fields(simulator) | fields)


def block(name: str, arguments: str) -> str:
    """A call as an agent of StackSpot writes it."""
    return f"FUNCTION_CALL_START\n{name}\narguments: {arguments}\nFUNCTION_CALL_END"


@pytest.fixture
def simulator() -> Simulator:
    """The simulator, not told anything yet."""
    return Simulator()


@pytest.fixture
def model(simulator: Simulator) -> ChatOpenAI:
    """The model whose answers this test's simulator gives."""
    return chat_model(simulator)


async def pieces(way: str, runnable: Runnable, given: Any) -> list[Any]:
    """What comes back when LangChain is asked in one of its four ways; whole, it is a single piece."""
    match way:
        case "invoke":
            return [runnable.invoke(given)]
        case "ainvoke":
            return [await runnable.ainvoke(given)]
        case "stream":
            return list(runnable.stream(given))
        case _:
            return [piece async for piece in runnable.astream(given)]


def merging(way: str) -> Ask:
    """Asks in that way; chunks are merged by ``+``, as LangChain's users do."""

    async def ask(runnable: Runnable, given: Any) -> Any:
        return reduce(add, await pieces(way, runnable, given))

    return ask


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks for a message in each of the four ways."""
    return merging(request.param)


@pytest.fixture(params=["stream", "astream"])
def ask_streaming(request: pytest.FixtureRequest) -> Ask:
    """Asks for a message in the two ways that stream."""
    return merging(request.param)


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def get(request: pytest.FixtureRequest) -> Ask:
    """Asks for an object in each of the four ways; of those that a stream gives, the last one is whole."""

    async def ask(runnable: Runnable, given: Any) -> Any:
        return (await pieces(request.param, runnable, given))[-1]

    return ask
