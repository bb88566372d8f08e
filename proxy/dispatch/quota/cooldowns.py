"""Deployments that are left alone for a while after they failed, told between replicas through Redis."""

import time
from contextlib import suppress
from typing import Any

from proxy.dispatch.cooldowns import LocalCooldowns
from proxy.dispatch.quota.connection import Away, Connection


class SharedCooldowns:
    """What this process does counts for it at once, what others do when it was pulled. While Redis is away nobody
    hears of anything, and it is not told later: by then it would be over."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._script = connection.script("cooldowns.lua")
        self._alone = LocalCooldowns()
        """The claims made while Redis is away."""
        self._until: dict[str, float] = {}
        self._edited: set[str] = set()
        """Ids of which this process knows more than what is being pulled."""

    def cooling(self, id: str) -> float:
        until = self._until.get(id)
        return 0.0 if until is None else max(0.0, until - time.monotonic())

    async def cool(self, id: str, seconds: float) -> None:
        self._until[id] = time.monotonic() + seconds
        await self._connection.unbroken(self._tell("cool", id, seconds))

    async def clear(self, id: str) -> None:
        self._until.pop(id, None)
        await self._connection.unbroken(self._tell("clear", id))

    async def forget(self) -> None:
        self._edited.update(self._until)
        self._until.clear()
        await self._alone.forget()
        await self._connection.unbroken(self._tell("forget", ""))

    async def claim_probe(self, id: str, seconds: float) -> bool:
        return await self._connection.unbroken(self._claim(id, seconds))

    async def pull(self) -> None:
        """Raises ``Away``."""
        self._edited.clear()
        found = await self._run("look")
        now = time.monotonic()
        pulled = {name.decode(): now + left / 1e6 for name, left in zip(found[::2], found[1::2], strict=True)}
        for name in self._edited:
            pulled.pop(name, None)
            if name in self._until:
                pulled[name] = self._until[name]
        self._until = pulled

    async def _claim(self, id: str, seconds: float) -> bool:
        if self._connection.up:
            with suppress(Away):
                (claimed,) = await self._run("claim", id, seconds)
                return bool(claimed)
        return await self._alone.claim_probe(id, seconds)

    async def _tell(self, operation: str, id: str, seconds: float = 0.0) -> None:
        await self._alone.clear(id)
        self._edited.add(id)
        if self._connection.up:
            with suppress(Away):
                await self._run(operation, id, seconds)
            self._edited.add(id)

    async def _run(self, operation: str, id: str = "", seconds: float = 0.0) -> Any:
        keys = self._connection.keys("deployments", ["cooling", f"probe:{id}"])
        return await self._script(keys, operation, self._connection.replica, id, round(seconds * 1e6))
