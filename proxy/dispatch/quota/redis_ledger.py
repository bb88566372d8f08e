"""The book of an account that replicas keep together in Redis, and each for itself while Redis is away."""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import orjson

from proxy.dispatch.quota import ledger, pace
from proxy.dispatch.quota.connection import Away, Connection
from proxy.dispatch.quota.ledger import STARTED, Allowance, Reservation
from proxy.dispatch.quota.memory import MemoryLedger

T = TypeVar("T")

WAS_STARTED, _, WAS_REFUSED = range(3)


class RedisLedger:
    """What Redis grants is noted in a book of this process too, so that it can go on by itself at any time.

    One command is under way at a time. They reach Redis in the order in which they were asked for, and when Redis
    hangs, one waits for its time-out while those behind it turn to the local book at once. Commands are not
    broken off when their caller leaves: what they did is undone behind them.
    """

    def __init__(self, connection: Connection, account: str, allowance: Allowance, lease: float) -> None:
        self._connection = connection
        self._local = MemoryLedger(allowance)
        self._script = connection.script("ledger.lua")
        self._keys = connection.keys(account, ("sent", "waiting", "running", "leases", "pace"))
        self._lease = lease
        self._replicas = 1
        """Among so many the allowance is divided where Redis does not answer."""
        self.allow(allowance)
        self._resumes = 0.0
        """When the pause that Redis knows of ends, on this process's clock."""
        self._lock = asyncio.Lock()
        self._shared: set[str] = set()
        """Tickets waiting or running that Redis knows of."""
        self._finished: list[str] = []
        self._cancelled: list[str] = []
        self._late: list[str] = []

    def allow(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._local.allow(allowance.split(self._replicas))
        self._rules = orjson.dumps(_rules(allowance, self._lease))

    async def reserve(self, ticket: str, patience: float) -> Reservation:
        if not self._connection.up:
            return await self._local.reserve(ticket, patience)
        return await self._or_undo(ticket, self._reserve(ticket, patience))

    async def start(self, ticket: str) -> float:
        if not self._connection.up:
            return await self._local.start(ticket)
        return await self._or_undo(ticket, self._start(ticket))

    def sent(self, ticket: str) -> float:
        if (late := self._local.sent(ticket)) > ledger.LATE_S and ticket in self._shared:
            self._late.append(self._name(ticket))
            self._settle_soon()
        return late

    def finish(self, ticket: str) -> None:
        self._local.finish(ticket)
        self._give_back(ticket, self._finished)

    def cancel(self, ticket: str) -> None:
        self._local.cancel(ticket)
        self._give_back(ticket, self._cancelled)

    async def wait(self) -> float:
        return await self._connection.unbroken(self._wait()) if self._connection.up else await self._local.wait()

    @property
    def paused(self) -> bool:
        return time.monotonic() < self._resumes or self._local.paused

    async def limited(self) -> None:
        await self._local.limited()
        await self._connection.unbroken(self._limited())

    def divide(self, replicas: int) -> None:
        """Whenever Redis does not answer, this process keeps to the share of one of so many."""
        if replicas != self._replicas:
            self._replicas = replicas
            self._local.allow(self.allowance.split(replicas))

    async def renew(self) -> None:
        """Keeps what this process has from being taken for lost. Raises ``Away``."""
        await self._ask("renew", tickets=[self._name(ticket) for ticket in self._shared])

    async def restore(self) -> None:
        """Tells Redis what this process has, also what it sent meanwhile. Raises ``Away``."""
        async with self._lock:
            ages = self._local.ages()
            self._shared = {*ages["waiting"], *ages["running"]}
            books = {name: self._named(book) for name, book in ages.items()}
            await self._send("restore", replica=self._name(""), books=books)

    async def settle(self) -> None:
        """Tells Redis what was given back or sent late, if no other command has done so yet."""
        if self._finished or self._cancelled or self._late:
            with suppress(Away):
                await self._ask("settle")

    async def _reserve(self, ticket: str, patience: float) -> Reservation:
        try:
            outcome, wait, since = await self._ask("reserve", ticket=self._name(ticket), patience=_micros(patience))
        except Away:
            return await self._local.reserve(ticket, patience)
        if outcome == WAS_REFUSED:
            return Reservation("refused", wait)
        self._shared.add(ticket)
        self._local.note(ticket, since, started=outcome == WAS_STARTED)
        return STARTED if outcome == WAS_STARTED else Reservation("waiting", wait)

    async def _start(self, ticket: str) -> float:
        try:
            outcome, wait, since = await self._ask("start", ticket=self._name(ticket))
        except Away:
            return await self._local.start(ticket)
        self._shared.add(ticket)
        if outcome == WAS_STARTED:
            self._local.note(ticket, since, started=True)
            return 0.0
        return wait

    async def _or_undo(self, ticket: str, command: Coroutine[Any, Any, T]) -> T:
        asked = self._connection.spawn(command)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(lambda _: self.cancel(ticket))
            raise

    async def _wait(self) -> float:
        try:
            return (await self._ask("wait")).wait
        except Away:
            return await self._local.wait()

    async def _limited(self) -> None:
        with suppress(Away):
            await self._ask("limited")

    def _give_back(self, ticket: str, book: list[str]) -> None:
        if ticket in self._shared:
            self._shared.discard(ticket)
            book.append(self._name(ticket))
            self._settle_soon()

    def _settle_soon(self) -> None:
        if self._connection.up:
            self._connection.spawn(self.settle())

    async def _ask(self, operation: str, **operands: object) -> "_Answer":
        """Raises ``Away``, at once when Redis is known to be."""
        async with self._lock:
            if not self._connection.up:
                raise Away
            return await self._send(operation, **operands)

    async def _send(self, operation: str, **operands: object) -> "_Answer":
        request = {"finished": self._finished, "cancelled": self._cancelled, "late": self._late, **operands}
        self._finished, self._cancelled, self._late = [], [], []
        since = time.monotonic()
        code, micros, pause = await self._script(self._keys, operation, self._rules, orjson.dumps(request))
        self._resumes = since + pause / 1e6
        return _Answer(code, micros / 1e6, since)

    def _name(self, ticket: str) -> str:
        return f"{self._connection.replica}:{ticket}"

    def _named(self, book: Mapping[str, float]) -> dict[str, int]:
        return {self._name(ticket): _micros(age) for ticket, age in book.items()}


class _Answer(NamedTuple):
    """``wait`` is in seconds; ``since`` is when Redis was asked, at the latest when what it stamped was stamped."""

    code: int
    wait: float
    since: float


def _rules(allowance: Allowance, lease: float) -> dict[str, Any]:
    limits = {"requests": allowance.requests, "concurrent": allowance.concurrent}
    return {name: value for name, value in limits.items() if value is not None} | {
        "window": _micros(allowance.window),
        "spacing": _micros(allowance.spacing),
        "lease": _micros(lease),
        "slot_poll": _micros(ledger.SLOT_POLL_S),
        "look_again": _micros(ledger.LOOK_AGAIN_S),
        "hold": _micros(ledger.HOLD_S),
        "hold_weight": ledger.HOLD_WEIGHT,
        "first_pause": _micros(pace.PAUSE_S),
        "longest_pause": _micros(pace.LONGEST_PAUSE_S),
        "step": pace.STEP,
        "rounding": pace.ROUNDING,
        "keep_ms": round(2000 * (allowance.window + pace.LONGEST_PAUSE_S + lease)),
    }


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)
