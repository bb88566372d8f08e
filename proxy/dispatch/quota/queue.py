"""The queue before an account: who goes next, and who must be refused."""

import asyncio
import itertools
import math
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from proxy.dispatch.quota.ledger import Allowance, Ledger
from proxy.dispatch.quota.lines import Lines, Waiter
from proxy.errors import Draining, QuotaExceeded

LONGEST_RETRY_AFTER_S = 60
BRIEF_S = 3.0
"""The longest wait of a request that could go to a fallback instead, in seconds."""


class QueueObserver(Protocol):
    def waited(self, seconds: float) -> None:
        """A request got through after so long, 0.0 included."""


class Queue:
    """Lets requests through as the ledger allows, callers in turn, and refuses those that would wait longer than
    ``timeout`` seconds.

    The ledger has a line of tickets, one for each request; whose turn it is when one of them falls due is decided
    here. Nobody owns a ticket: whoever leaves gives up the last one, and everybody else moves up. While there are
    waiters one task takes the tickets in their order; without waiters there is none.
    """

    def __init__(self, ledger: Ledger, timeout: float, observer: QueueObserver) -> None:
        self._ledger = ledger
        self._timeout = timeout
        self._observer = observer
        self._names = itertools.count(1)
        self._lines = Lines()
        self._tickets: deque[str] = deque()
        self._starting: str | None = None
        self._changed = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._closed = False

    def admit(self, caller: str, *, has_fallback: bool = False) -> "Admission":
        """A context: entering waits for the turn of one of the caller's requests, leaving says that it is over.

        ``caller`` is the name of the caller's key, empty when there is none. A request that has a fallback waits for
        ``BRIEF_S`` at most. Entering raises ``QuotaExceeded``, and ``Draining`` after the queue was closed.
        """
        return Admission(self, caller, has_fallback=has_fallback)

    def change(self, allowance: Allowance, timeout: float) -> None:
        """From now on these hold, also for those who wait, but for how long they do."""
        self._ledger.allow(allowance)
        self._timeout = timeout
        self._changed.set()

    async def wait(self) -> float:
        """The seconds that a request would wait now, behind all that do."""
        return await self._ledger.wait()

    async def delay(self) -> float:
        """The seconds that a request would wait, where a fallback is better; 0.0 for a wait of ``BRIEF_S`` at most.
        A pause after a 429 counts however short it is."""
        wait = await self._ledger.wait()
        return wait if wait > BRIEF_S or self._ledger.paused else 0.0

    def exceeded(self, wait: float) -> QuotaExceeded:
        """The error of a request that would wait for so many seconds."""
        seconds = max(1, math.ceil(wait))
        words = str(self._ledger.allowance)
        what = f"the account's quota of {words} is taken" if words else "the account has been limited: it is paused"
        return QuotaExceeded(f"{what} for the next {seconds} s", retry_after=min(seconds, LONGEST_RETRY_AFTER_S))

    async def limited(self) -> None:
        """The upstream said 429 to a request that was let through."""
        await self._ledger.limited()

    async def close(self) -> None:
        """Refuses those who wait; leaves no task behind."""
        self._closed = True
        if self._server is not None:
            self._server.cancel()
            await asyncio.wait([self._server])
        while waiter := self._lines.next():
            waiter.turn.set_exception(_draining())
        self._trim()

    async def enter(self, caller: str, *, has_fallback: bool = False) -> str:
        """The ticket to ``leave`` with."""
        since = time.monotonic()
        ticket = str(next(self._names))
        patience = min(BRIEF_S, self._timeout) if has_fallback else self._timeout
        reservation = await self._ledger.reserve(ticket, patience)
        if self._closed:
            self._ledger.cancel(ticket)
            raise _draining()
        if reservation.outcome == "started" and not self._lines:
            self._lines.served(caller)
        else:
            if reservation.outcome == "refused":
                if has_fallback:  # it takes nobody's place
                    raise self.exceeded(reservation.wait)
                self._make_room(caller, reservation.wait)
            waiter = Waiter(caller, asyncio.get_running_loop().create_future())
            self._lines.add(waiter)
            if reservation.outcome == "started":
                self._grant(ticket)
            elif reservation.outcome == "waiting":
                self._tickets.append(ticket)
                self._serve_soon()
            ticket = await self._turn(waiter, patience - (time.monotonic() - since))
        self._observer.waited(time.monotonic() - since)
        return ticket

    def sent(self, ticket: str) -> None:
        self._ledger.sent(ticket)

    def leave(self, ticket: str) -> None:
        self._ledger.finish(ticket)
        self._changed.set()

    def _make_room(self, caller: str, wait: float) -> None:
        """Gives the caller the place of one who has many, or refuses it."""
        dropped = self._lines.drop_for(caller)
        if dropped is None:
            raise self.exceeded(wait)
        if not dropped.turn.done():
            dropped.turn.set_exception(self.exceeded(wait))

    async def _turn(self, waiter: Waiter, timeout: float) -> str:
        try:
            async with asyncio.timeout(timeout):
                return await waiter.turn
        except TimeoutError:
            if ticket := self._withdraw(waiter):
                return ticket  # it came at the last moment
        except asyncio.CancelledError:
            if ticket := self._withdraw(waiter):
                self._grant(ticket)
            raise
        raise self.exceeded(await self._ledger.wait())

    def _withdraw(self, waiter: Waiter) -> str | None:
        """Takes it out of its line; the ticket if it had been given one already."""
        self._lines.discard(waiter)
        self._trim()
        turn = waiter.turn
        return turn.result() if turn.done() and not turn.cancelled() and turn.exception() is None else None

    def _grant(self, ticket: str) -> None:
        """Lets go who is next with a ticket that was started."""
        if waiter := self._lines.next():
            waiter.turn.set_result(ticket)
        else:
            self._ledger.cancel(ticket)
        self._trim()

    def _trim(self) -> None:
        """Gives back the last tickets if there are more than waiters."""
        while len(self._tickets) > len(self._lines) and self._tickets[-1] != self._starting:
            self._ledger.cancel(self._tickets.pop())
        if not self._tickets:
            self._changed.set()

    def _serve_soon(self) -> None:
        if self._server is None or self._server.done():
            self._server = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while self._tickets:
            self._changed.clear()
            self._starting = self._tickets[0]
            try:
                again = await self._ledger.start(self._starting)
            finally:
                self._starting = None
            if not again:
                self._grant(self._tickets.popleft())
                continue
            self._trim()
            if self._tickets:
                with suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await self._changed.wait()


class Admission:
    """One request's way through the queue."""

    __slots__ = ("_caller", "_has_fallback", "_queue", "_ticket")

    def __init__(self, queue: Queue, caller: str, *, has_fallback: bool) -> None:
        self._queue = queue
        self._caller = caller
        self._has_fallback = has_fallback
        self._ticket: str | None = None

    async def __aenter__(self) -> Self:
        self._ticket = await self._queue.enter(self._caller, has_fallback=self._has_fallback)
        return self

    async def repeat(self) -> None:
        """Wait for another turn, since the request is sent again: the one before stays counted. Raises as entering."""
        if self._ticket is not None:
            self._queue.leave(self._ticket)
            self._ticket = None
        self._ticket = await self._queue.enter(self._caller, has_fallback=self._has_fallback)

    def sent(self) -> None:
        """To be called within when the request goes out: it counts from then, whatever was done for it before."""
        assert self._ticket is not None
        self._queue.sent(self._ticket)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticket is not None:  # else there was no other turn
            self._queue.leave(self._ticket)


def _draining() -> Draining:
    return Draining("the proxy is shutting down")
