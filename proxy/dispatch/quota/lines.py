"""Those who wait for their turn, by caller: callers take turns, and each has a line of its own."""

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Waiter:
    """``turn`` will be the ticket with which the request may be sent."""

    caller: str
    turn: asyncio.Future[str]


class Lines:
    """Callers are names of the configuration, so there are few of them."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Waiter]] = {}
        self._served: dict[str, int] = {}
        self._count = itertools.count(1)
        self._waiters = 0

    def __len__(self) -> int:
        return self._waiters

    def add(self, waiter: Waiter) -> None:
        self._lines.setdefault(waiter.caller, deque()).append(waiter)
        self._waiters += 1

    def discard(self, waiter: Waiter) -> None:
        line = self._lines.get(waiter.caller)
        if line is not None and waiter in line:
            line.remove(waiter)
            self._took_from(waiter.caller, line)

    def served(self, caller: str) -> None:
        """It is the others' turn now."""
        self._served[caller] = next(self._count)

    def next(self) -> Waiter | None:
        """Takes out the one whose turn it is: the first in the line of the caller served longest ago."""
        while self._lines:
            caller = min(self._lines, key=lambda caller: self._served.get(caller, 0))
            line = self._lines[caller]
            waiter = line.popleft()
            self._took_from(caller, line)
            if not waiter.turn.done():  # else it is about to leave
                self.served(caller)
                return waiter
        return None

    def drop_for(self, caller: str) -> Waiter | None:
        """Takes out the last of the longest line, if that stays no shorter than the caller's with one more in it."""
        if not self._lines:
            return None
        longest = max(self._lines, key=lambda caller: len(self._lines[caller]))
        line = self._lines[longest]
        if len(line) < len(self._lines.get(caller, ())) + 2:
            return None
        waiter = line.pop()
        self._took_from(longest, line)
        return waiter

    def _took_from(self, caller: str, line: deque[Waiter]) -> None:
        self._waiters -= 1
        if not line:
            del self._lines[caller]
