"""Both stores keep answers within their bounds: the same tests for memory and for a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from proxy.dispatch.cache.redis_store import RedisStore
from proxy.dispatch.cache.store import OVERHEAD, Bounds, MemoryStore, Store
from proxy.dispatch.quota.sharing import Sharing
from tests.dispatch.quota.support import Told
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server

WIDE = Bounds(10**6, 1000, 60)


@dataclass
class Shop:
    store: Store
    settled: Callable[[], Awaitable[None]]
    """Everything that was put is there."""


@pytest.fixture(params=["memory", "redis"])
async def shop(request: pytest.FixtureRequest, correlation_id: str) -> AsyncIterator[Shop]:
    if request.param == "memory":

        async def nothing() -> None: ...

        yield Shop(MemoryStore(), nothing)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    async with Redis.from_url(server.url) as client:
        await client.flushall()
    sharing = Sharing(server.url, Told(), prefix=correlation_id)
    await sharing.start()
    store = RedisStore(sharing.connection)

    async def settled() -> None:
        while store._under_way:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)

    yield Shop(store, settled)
    await sharing.close()


async def test_what_was_put_is_there(shop: Shop) -> None:
    shop.store.put("a", b"\x00\xff", WIDE)
    assert b"\x00\xff" == await shop.store.get(["a"]), "at once"
    await shop.settled()
    assert b"\x00\xff" == await shop.store.get(["b", "a"])
    assert await shop.store.get(["b", "c"]) is None


async def test_it_is_replaced(shop: Shop) -> None:
    for value in (b"old", b"new"):
        shop.store.put("a", value, WIDE)
        await shop.settled()
    assert b"new" == await shop.store.get(["a"])


async def test_it_is_over_after_a_while(shop: Shop) -> None:
    shop.store.put("a", b"1", Bounds(10**6, 1000, 0.05))
    await shop.settled()
    await asyncio.sleep(0.06)
    assert await shop.store.get(["a"]) is None


@pytest.mark.parametrize(
    "bounds", [Bounds(10**6, 3, 60), Bounds(3 * (OVERHEAD + 100), 1000, 60)], ids=["entries", "bytes"]
)
async def test_the_oldest_go_first(shop: Shop, bounds: Bounds) -> None:
    for number in range(10):
        shop.store.put(f"k{number}", bytes(100), bounds)
        await shop.settled()
        await asyncio.sleep(0.002)  # Redis orders by milliseconds
    there = [number for number in range(10) if await shop.store.get([f"k{number}"]) is not None]
    assert [7, 8, 9] == there


async def test_what_is_larger_than_all_is_not_there(shop: Shop) -> None:
    bounds = Bounds(1000, 10, 60)
    shop.store.put("small", b"1", bounds)
    shop.store.put("large", bytes(2000), bounds)
    await shop.settled()
    assert await shop.store.get(["large"]) is None


async def test_what_is_used_stays_in_memory() -> None:
    store, bounds = MemoryStore(), Bounds(10**6, 2, 60)
    store.put("a", b"1", bounds)
    store.put("b", b"2", bounds)
    assert await store.get(["a"])
    store.put("c", b"3", bounds)
    assert [True, False, True] == [await store.get([key]) is not None for key in "abc"]
    assert (2, 2 * (OVERHEAD + 1)) == (len(store), store.size)


async def test_what_is_over_is_no_longer_counted_in_redis(redis_server: RedisServer, correlation_id: str) -> None:
    """However many come and go, the books are those of what is there; in the end nothing is left."""
    sharing = Sharing(redis_server.url, Told(), prefix=correlation_id)
    await sharing.start()
    store = RedisStore(sharing.connection)
    for number in range(50):
        store.put(f"k{number}", bytes(100), Bounds(10**6, 1000, 0.02))
        while store._under_way:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.03)
    store.put("last", bytes(100), Bounds(10**6, 1000, 0.05))
    while store._under_way:  # noqa: ASYNC110 - it has no event to wait for
        await asyncio.sleep(0.001)
    async with Redis.from_url(redis_server.url) as client:
        own = f"{correlation_id}:{{cache}}:"
        counts = (
            await client.zcard(f"{own}order"),
            await client.hlen(f"{own}sizes"),
            int(await client.get(f"{own}total")),
        )
        assert (1, 1, OVERHEAD + 100) == counts
        await asyncio.sleep(0.2)
        assert [] == await client.keys(f"{own}*")
    await sharing.close()


async def test_a_redis_that_is_not_there_has_nothing(unused_tcp_port: int) -> None:
    sharing = Sharing(f"redis://127.0.0.1:{unused_tcp_port}/0", Told())
    await sharing.start()
    store = RedisStore(sharing.connection)
    store.put("a", b"1", WIDE)
    assert await store.get(["a"]) is None
    await sharing.close()
