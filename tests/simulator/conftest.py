from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.simulator import Settings, Simulator, serve

from .helpers import Client


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator without pace."""
    async with serve(settings=Settings(interval_s=0)) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(simulator.url) as http:
        yield Client(http)
