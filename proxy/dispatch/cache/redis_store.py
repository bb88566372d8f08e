"""Answers kept in Redis, for all replicas. Needs the extra ``redis``."""

from collections.abc import Sequence
from contextlib import suppress

from proxy.dispatch.cache.store import OVERHEAD, Bounds
from proxy.dispatch.quota.connection import Away, Connection

GROUP = "cache"
WAITING = 64
"""So many answers may be on their way to Redis at once; those that come when it is slow are not kept."""


class RedisStore:
    """While Redis is away there is nothing in it, and nothing is kept."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._script = connection.script("keep.lua", __package__)
        self._books = connection.keys(GROUP, ("order", "sizes", "total"))
        self._under_way: dict[str, bytes] = {}

    async def get(self, keys: Sequence[str]) -> bytes | None:
        if not self._connection.up:
            return None
        if waiting := next((self._under_way[key] for key in keys if key in self._under_way), None):
            return waiting
        with suppress(Away):
            found = await self._connection.unbroken(self._connection.get(self._connection.keys(GROUP, keys)))
            return next((value for value in found if value is not None), None)
        return None

    def put(self, key: str, value: bytes, bounds: Bounds) -> None:
        if self._connection.up and key not in self._under_way and len(self._under_way) < WAITING:
            self._under_way[key] = value
            self._connection.spawn(self._keep(key, value, bounds))

    async def _keep(self, key: str, value: bytes, bounds: Bounds) -> None:
        try:
            with suppress(Away):
                ttl = max(1, round(bounds.ttl * 1000))
                own = self._connection.keys(GROUP, [key])
                await self._script([*self._books, *own], value, ttl, OVERHEAD, bounds.size, bounds.entries)
        finally:
            del self._under_way[key]
