"""Books to test with: both kinds, on a clock that the test sets, and ones in Redis on the real clock."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.dispatch.quota.support import Share, Shop, memory_shop, redis_shop, shared
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import start_redis as start_redis

_COUNT = itertools.count(1)


@pytest.fixture
def prefix() -> str:
    """A prefix of keys that no other test uses."""
    return f"test-{next(_COUNT)}"


@pytest.fixture
async def shop(request: pytest.FixtureRequest, prefix: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """Where to get a book of the kind in the parameter, ``memory`` or ``redis``."""
    if request.param == "memory":
        yield memory_shop()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with redis_shop(server.url, prefix, monkeypatch) as opened:
        yield opened


@pytest.fixture
async def share(redis_server: RedisServer, prefix: str) -> AsyncIterator[Callable[..., Awaitable[Share]]]:
    """Makes replicas that share one Redis; they are closed behind the test."""
    async with AsyncExitStack() as stack:

        async def make(url: str = redis_server.url, **options: float) -> Share:
            return await stack.enter_async_context(shared(url, prefix, **options))

        yield make
