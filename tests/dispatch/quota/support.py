"""What the tests of the quota are written with."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from proxy.dispatch.quota import connection, ledger
from proxy.dispatch.quota.ledger import Allowance, Ledger
from proxy.dispatch.quota.memory import MemoryLedger
from proxy.dispatch.quota.sharing import LEASE_S, Sharing
from tests.support.clock import Clock

T = TypeVar("T")

BEGIN_S = 1_700_000_000
"""What the clock shows first: a time as Redis has it, so that rounding would show."""
RENEW_S = int(LEASE_S // 3)


@dataclass(frozen=True, slots=True)
class Shop:
    """``open`` makes a new book; ``pass_time`` moves the clock of all of them on by seconds."""

    open: Callable[[Allowance], Ledger]
    pass_time: Callable[[float], Coroutine[Any, Any, None]]


def memory_shop() -> Shop:
    clock = Clock(BEGIN_S)

    async def pass_time(seconds: float) -> None:
        clock.now += seconds

    return Shop(lambda allowance: MemoryLedger(allowance, clock), pass_time)


@asynccontextmanager
async def redis_shop(url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """The script reads its time from a key that the test sets, in place of TIME."""
    read, key, names = connection.source, f"{prefix}:clock", itertools.count(1)
    monkeypatch.setattr(
        connection,
        "source",
        lambda name, *package: read(name, *package).replace("'TIME'", f"'HMGET', '{key}', 's', 'us'"),
    )
    monkeypatch.setattr(ledger, "LATE_S", -1)  # how late one is, is told by this process's own clock
    sharing = Sharing(url, Told(), prefix=prefix, timeout=30, beat=3600)
    ledgers: list[Any] = []
    micros = BEGIN_S * 1_000_000
    async with Redis.from_url(url) as client:

        async def show() -> None:
            seconds, rest = divmod(micros, 1_000_000)
            await client.hset(key, mapping={"s": seconds, "us": rest})

        async def pass_time(seconds: float) -> None:
            nonlocal micros
            left = round(seconds * 1_000_000)
            for book in ledgers:
                await book.settle()
            while left:  # as the heartbeat would
                step = min(left, RENEW_S * 1_000_000)
                left, micros = left - step, micros + step
                await show()
                for book in ledgers:
                    await book.renew()

        def open_book(allowance: Allowance) -> Ledger:
            ledgers.append(sharing.ledger(f"account-{next(names)}", allowance))
            opened: Ledger = ledgers[-1]
            return opened

        await show()
        await sharing.start()
        try:
            assert sharing.up
            yield Shop(open_book, pass_time)
            assert sharing.up, "Redis was lost on the way"
        finally:
            await sharing.close()


@dataclass(slots=True)
class Told:
    """What a ``Sharing`` told its observer, in order."""

    events: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def lost(self, reason: str) -> None:
        self.events.append("lost")
        self.reasons.append(reason)

    def restored(self) -> None:
        self.events.append("restored")


@dataclass(frozen=True, slots=True)
class Share:
    sharing: Sharing
    told: Told


@asynccontextmanager
async def shared(
    url: str, prefix: str, *, timeout: float = 1.0, beat: float = 0.05, lease: float = 30.0
) -> AsyncIterator[Share]:
    """A replica's part in what is shared, with a fast heart."""
    told = Told()
    sharing = Sharing(url, told, prefix=prefix, timeout=timeout, beat=beat, lease=lease)
    try:
        yield Share(sharing, told)
    finally:
        await sharing.close()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits for anything."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waited")


@dataclass(slots=True)
class Waits:
    """What a queue told its observer: how long those waited that got through."""

    seconds: list[float] = field(default_factory=list)

    def waited(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event for everything
            await asyncio.sleep(0.005)
