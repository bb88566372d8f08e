"""One look over all answers under way, several times a second, in place of timers per answer or per token.

It samples counters that the answers keep anyway: what has not moved between two looks has been silent. So its
times are true to a quarter of a second, and watching costs an answer nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from proxy.config.settings import Timeouts
from proxy.core.turn import Turn
from proxy.errors import FirstTokenTimeout, IdleTimeout, ProxyError, TotalTimeout, WriteStall
from proxy.server.outlet import Outlet
from proxy.telemetry.record import Record

LOOK_EVERY_S = 0.25


class Scope:
    """A stretch of an answer's way that can be ended with an error, wherever its task is waiting. Leaving it then
    raises that error."""

    __slots__ = ("_error", "_timeout", "left")

    def __init__(self) -> None:
        self.left = False
        self._timeout = asyncio.timeout(None)
        self._error: ProxyError | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(self, *exception: Any) -> None:
        self.left = True
        try:
            await self._timeout.__aexit__(*exception)
        except TimeoutError:
            if self._error is None:
                raise
            raise self._error from None

    def expire(self, error: ProxyError) -> None:
        if self._error is None:
            self._error = error
            self._timeout.reschedule(0)

    @property
    def expired(self) -> bool:
        return self._error is not None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what may take, in seconds: ``keepalive`` is the silence after which a caller is told that the answer is
    still under way, ``commit_after`` the time until it is told that there will be one."""

    timeouts: Timeouts
    keepalive: float
    commit_after: float


@dataclass(slots=True, eq=False)
class Watched:
    """An answer under way while this context lasts, and what was seen of it at the last look. ``base`` is the
    progress that was there before the upstream was asked this time. Leaving it raises the time-out, or whatever else
    it was expired with."""

    among: set["Watched"]
    turn: Turn
    outlet: Outlet | None
    patience: Patience
    started: float
    scope: Scope = field(default_factory=Scope)
    asked: Scope | None = None
    base: int = 0
    progress: int = 0
    progressed: float = 0.0
    chunks: int = 0
    spoke: float = 0.0
    stalled: float | None = None
    taken: tuple[int, int] = (0, 0)
    waiting: bool = False
    """Nothing was sent to an upstream for it yet; it waits for the quota or for a login."""

    async def __aenter__(self) -> Self:
        await self.scope.__aenter__()
        self.among.add(self)
        return self

    async def __aexit__(self, *exception: Any) -> None:
        self.among.discard(self)
        await self.scope.__aexit__(*exception)

    def sending(self) -> None:
        """A request for it is about to go out to an upstream."""
        self.waiting = False

    def asking(self) -> Scope:
        """While this lasts an upstream is to answer: how long it may be silent is limited."""
        self.base = self.progress = self.turn.progress
        self.progressed = time.monotonic()
        self.asked = Scope()
        return self.asked


class Arrival:
    """A request while this context lasts, from its head on. Leaving it raises what it was expired with."""

    __slots__ = ("_among", "_scope", "record")

    def __init__(self, among: set["Arrival"], record: Record) -> None:
        self.record = record
        self._among = among
        self._scope = Scope()

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._among.add(self)

    async def __aexit__(self, *exception: Any) -> None:
        self._among.discard(self)
        await self._scope.__aexit__(*exception)

    def expire(self, error: ProxyError) -> None:
        self._scope.expire(error)


class Watchdog:
    """``on_look`` is told at each look by how many seconds it was late: so long the event loop had no time for
    anybody."""

    def __init__(self, on_look: Callable[[float], None]) -> None:
        self._on_look = on_look
        self._answers: set[Watched] = set()
        self._arrivals: set[Arrival] = set()

    @property
    def busy(self) -> bool:
        """There are requests that are not over."""
        return bool(self._arrivals)

    def __len__(self) -> int:
        return len(self._answers)

    def watch(self, turn: Turn, outlet: Outlet | None, patience: Patience) -> Watched:
        """Watches an answer while the context lasts; ``outlet`` is None for one that is not streamed."""
        now = time.monotonic()
        return Watched(self._answers, turn, outlet, patience, started=now, spoke=now)

    def arrival(self, record: Record) -> Arrival:
        """A request that may come to be watched, once its body is there."""
        return Arrival(self._arrivals, record)

    def turn_away(self, error: ProxyError) -> None:
        """End all requests for which nothing was sent to an upstream yet."""
        for arrival in self._arrivals:
            if arrival.record.turn is None:
                arrival.expire(error)
        for watched in self._answers:
            if watched.waiting:
                watched.scope.expire(error)

    def expire_all(self, error: ProxyError) -> None:
        for watched in self._answers:
            watched.scope.expire(error)

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            due = time.monotonic() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            self._on_look(max(0.0, now - due))
            for watched in list(self._answers):
                self._check(watched, now)
                if watched.outlet is not None and not watched.scope.expired:
                    with suppress(ConnectionError):  # the caller has left; its own task is told as well
                        await self._speak(watched, watched.outlet, now)

    def _check(self, watched: Watched, now: float) -> None:
        turn, limits = watched.turn, watched.patience.timeouts
        if turn.progress != watched.progress:
            watched.progress = turn.progress
            watched.progressed = now
        if watched.outlet is not None and watched.outlet.writing:
            watched.progressed = now  # the upstream is not to blame while the caller does not read
            taken = watched.outlet.taken()
            if watched.stalled is None or taken != watched.taken:
                watched.stalled, watched.taken = now, taken
            if now - watched.stalled >= limits.write_stall:
                watched.scope.expire(WriteStall("the caller did not read the answer"))
        else:
            watched.stalled = None
        if now - watched.started >= limits.total:
            watched.scope.expire(TotalTimeout(f"the answer took longer than {limits.total:g} s"))
        if watched.asked is None or watched.asked.left:
            return
        silent = now - watched.progressed
        if watched.progress == watched.base and silent >= limits.first_token:
            watched.asked.expire(FirstTokenTimeout(f"the upstream sent nothing for {limits.first_token:g} s"))
        elif watched.progress != watched.base and silent >= limits.idle:
            watched.asked.expire(IdleTimeout(f"the upstream fell silent for {limits.idle:g} s"))

    async def _speak(self, watched: Watched, outlet: Outlet, now: float) -> None:
        if not outlet.opened:
            if now - watched.started >= watched.patience.commit_after:
                await outlet.commit()
                watched.spoke = now
        elif watched.turn.chunks != watched.chunks:
            watched.chunks = watched.turn.chunks
            watched.spoke = now
        elif now - watched.spoke >= watched.patience.keepalive:
            await outlet.keepalive()
            watched.spoke = now
