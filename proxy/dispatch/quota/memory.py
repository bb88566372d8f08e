"""The book of an account that one process has for itself."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice

from proxy.dispatch.quota.ledger import (
    HOLD_S,
    HOLD_WEIGHT,
    LOOK_AGAIN_S,
    SLOT_POLL_S,
    STARTED,
    Allowance,
    Reservation,
)
from proxy.dispatch.quota.pace import Pace


class MemoryLedger:
    """``ledger.lua`` does the same in Redis; one suite of tests holds both. ``clock`` gives seconds that never go
    back."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self.allowance = allowance
        self._clock = clock
        self._pace = Pace(allowance.window)
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._waiting: OrderedDict[str, float] = OrderedDict()
        self._running: dict[str, float] = {}
        self._hold = HOLD_S

    def allow(self, allowance: Allowance) -> None:
        self.allowance = allowance

    async def reserve(self, ticket: str, patience: float) -> Reservation:
        now = self._clock()
        place = len(self._waiting)
        wait = self._due(place, now) - now
        if wait <= 0 and self._missing_slots(place) <= 0:
            self._launch(ticket, now)
            return STARTED
        if wait > patience:
            return Reservation("refused", wait)
        self._waiting[ticket] = now
        return Reservation("waiting", wait)

    async def start(self, ticket: str) -> float:
        now = self._clock()
        self._waiting.setdefault(ticket, now)
        place = next(place for place, waiting in enumerate(self._waiting) if waiting == ticket)
        if (wait := self._due(place, now) - now) > 0:
            return min(wait, LOOK_AGAIN_S)
        if self._missing_slots(place) > 0:
            return SLOT_POLL_S
        self._launch(ticket, now)
        return 0.0

    def sent(self, ticket: str) -> float:
        if self.allowance.requests is None or ticket not in self._running:
            return 0.0
        since = self._sent.get(ticket, self._running[ticket])
        now = self._clock()
        self._count(ticket, now)
        return now - since

    def finish(self, ticket: str) -> None:
        self._waiting.pop(ticket, None)
        if (since := self._running.pop(ticket, None)) is not None:
            self._hold += (self._clock() - since - self._hold) * HOLD_WEIGHT

    def cancel(self, ticket: str) -> None:
        self._waiting.pop(ticket, None)
        if self._running.pop(ticket, None) is not None:
            self._sent.pop(ticket, None)

    async def wait(self) -> float:
        now = self._clock()
        place = len(self._waiting)
        wait = self._due(place, now) - now
        if (missing := self._missing_slots(place)) > 0:
            assert self.allowance.concurrent
            return max(wait, missing * self._hold / self.allowance.concurrent)
        return wait

    @property
    def paused(self) -> bool:
        return self._clock() < self._pace.resumes

    async def limited(self) -> None:
        self._pace.limited(self._clock())

    def note(self, ticket: str, since: float, *, started: bool) -> None:
        """Another book gave the ticket its place, or started it, at that time of the clock."""
        if started:
            self._launch(ticket, since)
        else:
            self._waiting[ticket] = since

    def ages(self) -> dict[str, Mapping[str, float]]:
        """What it knows, by ``sent``, ``waiting`` and ``running``: the tickets with their seconds until now."""
        now = self._clock()
        self._forget(now)
        books = {"sent": self._sent, "waiting": self._waiting, "running": self._running}
        return {name: {ticket: now - since for ticket, since in book.items()} for name, book in books.items()}

    def _launch(self, ticket: str, now: float) -> None:
        self._waiting.pop(ticket, None)
        self._running[ticket] = now
        if self.allowance.requests is not None:
            self._forget(now)
            self._count(ticket, now)

    def _count(self, ticket: str, now: float) -> None:
        self._sent[ticket] = now
        self._sent.move_to_end(ticket)

    def _missing_slots(self, place: int) -> int:
        """How many slots must be given back until it is the turn of this place, counted from 0."""
        if self.allowance.concurrent is None:
            return 0
        return place + 1 + len(self._running) - self.allowance.concurrent

    def _due(self, place: int, now: float) -> float:
        """When window and pace allow the one at this place, counted from 0, to be sent."""
        begin = max(now, self._pace.resumes)
        if self.allowance.requests is None:
            return begin
        self._forget(now)
        # Those sent and those waiting are one row, in which each comes a window after the one `rate` before it.
        rate, spacing = self._pace.rate(self.allowance.requests, now), self.allowance.spacing
        laps = place // rate
        ahead = len(self._sent) + place - (laps + 1) * rate
        if ahead >= 0:
            begin = max(begin, next(islice(self._sent.values(), ahead, None)) + spacing)
        return begin + laps * spacing

    def _forget(self, now: float) -> None:
        """Drops what no window that is still open holds."""
        until = now - self.allowance.spacing
        while self._sent and next(iter(self._sent.values())) <= until:
            self._sent.popitem(last=False)
