"""One look over all answers under way, several times a second, in place of timers per answer or per token.

It samples counters that the answers keep anyway: what has not moved between two looks has been silent. So its
times are true to a quarter of a second, and watching costs an answer nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from proxy.config.settings import Timeouts
from proxy.core.turn import Turn
from proxy.errors import FirstTokenTimeout, IdleTimeout, ProxyError, TotalTimeout, WriteStall
from proxy.server.outlet import Outlet

LOOK_EVERY_S = 0.25


@dataclass(slots=True, eq=False)
class Watched:
    """An answer under way, and what was seen of it at the last look."""

    turn: Turn
    outlet: Outlet | None
    scope: asyncio.Timeout
    started: float
    progress: int = 0
    progressed: float = 0.0
    chunks: int = 0
    spoke: float = 0.0
    stalled: float | None = None
    error: ProxyError | None = None

    def expire(self, error: ProxyError) -> None:
        """Ends the answer with ``error``, wherever its task is waiting."""
        if self.error is None:
            self.error = error
            self.scope.reschedule(0)


class Watchdog:
    """``keepalive`` and ``commit_after`` are in seconds."""

    def __init__(self, timeouts: Timeouts, *, keepalive: float, commit_after: float) -> None:
        self._timeouts = timeouts
        self._keepalive = keepalive
        self._commit_after = commit_after
        self._answers: set[Watched] = set()

    def __len__(self) -> int:
        return len(self._answers)

    @asynccontextmanager
    async def watch(self, turn: Turn, outlet: Outlet | None) -> AsyncIterator[None]:
        """Watches an answer while the context lasts; ``outlet`` is None for one that is not streamed. Raises
        the time-out, or whatever else it was expired with."""
        now = time.monotonic()
        try:
            async with asyncio.timeout(None) as scope:
                watched = Watched(turn, outlet, scope, started=now, progressed=now, spoke=now)
                self._answers.add(watched)
                yield
        except TimeoutError:
            if watched.error is None:
                raise
            raise watched.error from None
        finally:
            self._answers.discard(watched)

    def expire_all(self, error: ProxyError) -> None:
        for watched in self._answers:
            watched.expire(error)

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            for watched in list(self._answers):
                self._check(watched, now)
                if watched.outlet is not None and watched.error is None:
                    with suppress(ConnectionError):  # the caller has left; its own task is told as well
                        await self._speak(watched, watched.outlet, now)

    def _check(self, watched: Watched, now: float) -> None:
        turn, limits = watched.turn, self._timeouts
        if turn.progress != watched.progress:
            watched.progress = turn.progress
            watched.progressed = now
        if watched.outlet is not None and watched.outlet.writing:
            watched.stalled = watched.stalled or now
            watched.progressed = now  # the upstream is not to blame while the caller does not read
            if now - watched.stalled >= limits.write_stall:
                watched.expire(WriteStall("the caller did not read the answer"))
        else:
            watched.stalled = None
        silent = now - watched.progressed
        if not watched.progress and silent >= limits.first_token:
            watched.expire(FirstTokenTimeout(f"the upstream sent nothing for {limits.first_token:g} s"))
        elif watched.progress and silent >= limits.idle:
            watched.expire(IdleTimeout(f"the upstream fell silent for {limits.idle:g} s"))
        elif now - watched.started >= limits.total:
            watched.expire(TotalTimeout(f"the answer took longer than {limits.total:g} s"))

    async def _speak(self, watched: Watched, outlet: Outlet, now: float) -> None:
        if not outlet.opened:
            if now - watched.started >= self._commit_after:
                await outlet.open()
                watched.spoke = now
        elif watched.turn.chunks != watched.chunks:
            watched.chunks = watched.turn.chunks
            watched.spoke = now
        elif now - watched.spoke >= self._keepalive:
            await outlet.keepalive()
            watched.spoke = now
