"""What the replicas of the proxy share through Redis. Needs the extra ``redis``."""

import asyncio
import math
import time
from contextlib import suppress
from typing import Protocol

from proxy.dispatch.quota.connection import Away, Connection, ErrorReply
from proxy.dispatch.quota.cooldowns import SharedCooldowns
from proxy.dispatch.quota.ledger import Allowance
from proxy.dispatch.quota.redis_ledger import RedisLedger

TIMEOUT_S = 0.25
BEAT_S = 1.0
SILENT_BEATS = 10
"""A replica that missed so many is not counted."""
LEASE_S = SILENT_BEATS * BEAT_S
"""After so long the tickets of a replica that crashed are given back: no later than it is not counted any more."""
REFUSAL_INTERVAL_S = 60.0
"""Error replies are told of once in so long."""


class SharingObserver(Protocol):
    def lost(self, reason: str) -> None:
        """Redis is away: from now on this process keeps to its own share. The reason holds no password."""

    def restored(self) -> None:
        """It is back: everything is shared again."""

    def refused(self, reason: str) -> None:
        """Redis answered a command with an error; what that command was for is not shared. Told once a minute."""


class Sharing:
    """One connection and one heartbeat for the quotas and cool-downs of a process.

    The heartbeat counts the living replicas, renews leases, pulls cool-downs, and is the only one to ask Redis while
    it is away. Then a quota is divided by the replicas last counted, of which this is one. When Redis is back it is
    told what was sent meanwhile.

    ``timeout``, ``beat`` and ``lease`` are in seconds. Raises ``ValueError`` for a URL that cannot be one.
    """

    def __init__(
        self,
        url: str,
        observer: SharingObserver,
        *,
        prefix: str = "stackspot-proxy",
        timeout: float = TIMEOUT_S,
        beat: float = BEAT_S,
        lease: float = LEASE_S,
    ) -> None:
        self.replicas = 1
        """How many are alive, this one included, as last counted."""
        self._connection = Connection(url, prefix, timeout, self._lost, self._refused)
        self._census = self._connection.script("replicas.lua")
        self._cooldowns = SharedCooldowns(self._connection)
        self._observer = observer
        self._beat_s = beat
        self._lease = lease
        self._renewed = time.monotonic()
        self._ledgers: list[RedisLedger] = []
        self._told_lost = False
        self._refusal_told = -math.inf
        self._stop = asyncio.Event()
        self._heart: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._connection.up

    @property
    def connection(self) -> Connection:
        """For others who share something."""
        return self._connection

    def ledger(self, account: str, allowance: Allowance) -> RedisLedger:
        """The book of an account, one in each process."""
        ledger = RedisLedger(self._connection, account, allowance, self._lease)
        ledger.divide(self.replicas)
        self._ledgers.append(ledger)
        return ledger

    def cooling(self, id: str) -> float:
        """Seconds left of a deployment's cool-down, as far as it was told of; 0.0 when there is none."""
        return self._cooldowns.cooling(id)

    async def cool(self, id: str, seconds: float) -> None:
        """All replicas leave a deployment alone from now on."""
        await self._cooldowns.cool(id, seconds)

    async def clear(self, id: str) -> None:
        """It works again."""
        await self._cooldowns.clear(id)

    async def forget(self) -> None:
        """No replica leaves any deployment alone any more."""
        await self._cooldowns.forget()

    async def claim_probe(self, id: str, seconds: float) -> bool:
        """True for the one who may try it, until it is cooled or cleared, for at most ``seconds``; while Redis is
        away for one in each replica."""
        return await self._cooldowns.claim_probe(id, seconds)

    async def start(self) -> None:
        """Begins to share if Redis is there, and carries on without it if not."""
        await self._beat()
        self._heart = asyncio.create_task(self._run())

    async def close(self) -> None:
        """What was given back before is told to Redis still."""
        self._stop.set()
        if self._heart is not None:
            await self._heart
        if self.up:
            with suppress(Away):
                await self._count("gone")
        await self._connection.close()

    async def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._beat_s)
                return
            await self._beat()

    async def _beat(self) -> None:
        with suppress(Away):
            await self._take_census()
            with suppress(ErrorReply):
                await self._cooldowns.pull()
            if not self.up:
                await self._come_back()
            elif time.monotonic() - self._renewed >= self._lease / 3:
                self._renewed = time.monotonic()
                for ledger in self._ledgers:
                    with suppress(ErrorReply):
                        await ledger.renew()

    async def _take_census(self) -> None:
        """A Redis that refuses this, which concerns no single key, can share nothing."""
        try:
            self.replicas = max(1, await self._count("here"))
        except ErrorReply as error:
            self._connection.give_up(str(error))
            raise
        for ledger in self._ledgers:
            ledger.divide(self.replicas)

    async def _come_back(self) -> None:
        for ledger in self._ledgers:
            with suppress(ErrorReply):
                await ledger.restore()
        self._connection.up = True
        self._renewed = time.monotonic()
        for ledger in self._ledgers:
            with suppress(ErrorReply):
                await ledger.restore()  # what was sent while the others came back
        if self._told_lost:
            self._told_lost = False
            self._observer.restored()

    async def _count(self, operation: str) -> int:
        silence = round(SILENT_BEATS * self._beat_s * 1_000_000)
        keys = self._connection.keys("deployments", ["replicas"])
        count: int = await self._census(keys, operation, self._connection.replica, silence)
        return count

    def _lost(self, reason: str) -> None:
        if not self._told_lost:
            self._told_lost = True
            self._observer.lost(reason)

    def _refused(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._refusal_told >= REFUSAL_INTERVAL_S:
            self._refusal_told = now
            self._observer.refused(reason)
