"""What an account allows, and the book that is kept of it: who may send when.

The book is a line. Who may send next, and when everybody behind will, follows from the order of the line, from the
times of what was sent within the last window and from the account's pace: the request that comes R-th after another
may be sent one window after it. So every wait is known when it is asked for, a place that is given back moves all
behind it up, and one that is late moves them back: no plan can break the limit.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

# Requests do not reach the upstream at the distances at which they left. The window is kept a little longer for
# that, but never by more than a share of it, so that nearly all of what is allowed stays usable.
SLACK_S = 0.05
SLACK_SHARE = 0.03

SLOT_POLL_S = 0.05
"""When to ask again for a slot, of which nobody can say when it will be free."""
LOOK_AGAIN_S = 1.0
"""The longest time between two questions: places ahead may have been given back, the pace may have risen."""

LATE_S = 0.01
"""Requests that leave by less than this behind their start are not worth telling others of; the slack covers them."""

HOLD_S = 10.0
"""How long a request is taken to last before one has ended."""
HOLD_WEIGHT = 0.125
"""The share of the last request in the mean of how long they last."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """At most ``requests`` in any ``window`` seconds, at most ``concurrent`` at once; None is no limit."""

    requests: int | None
    concurrent: int | None
    window: float = 60.0

    @property
    def spacing(self) -> float:
        """Seconds between a request and the one that comes ``requests`` after it."""
        return self.window + min(SLACK_S, SLACK_SHARE * self.window)

    def split(self, parts: int) -> "Allowance":
        """The share of one of several who cannot agree: all together stay within the whole, if each may have one."""
        return Allowance(
            None if self.requests is None else max(1, self.requests // parts),
            None if self.concurrent is None else max(1, self.concurrent // parts),
            self.window,
        )

    def __str__(self) -> str:
        per = "a minute" if self.window == 60 else f"in {self.window:g} s"
        requests = [] if self.requests is None else [f"{self.requests} requests {per}"]
        concurrent = [] if self.concurrent is None else [f"{self.concurrent} requests at once"]
        return " and ".join(requests + concurrent)


@dataclass(frozen=True, slots=True)
class Reservation:
    """``wait`` is in seconds from now. ``started``: go. ``waiting``: in line, so ``start`` it when that time has
    passed; a wait of 0 is one for a slot. ``refused``: it would have been too long, nothing is kept."""

    outcome: Literal["started", "waiting", "refused"]
    wait: float = 0.0


STARTED = Reservation("started")


class Ledger(Protocol):
    """The book of one account. A ticket is the name of one request in it, never used twice.

    Nothing here raises for what an account or a store does: what cannot be shared is kept alone.
    """

    @property
    def allowance(self) -> Allowance: ...

    def allow(self, allowance: Allowance) -> None:
        """From now on this holds. What was sent stays counted, who waits keeps the place."""

    async def reserve(self, ticket: str, patience: float) -> Reservation:
        """A place at the end of the line, and the start at once if nobody is ahead and there is room; refused when
        the wait would be longer than ``patience`` seconds. A caller that is cancelled here keeps nothing."""

    async def start(self, ticket: str) -> float:
        """0.0: it goes now, a slot is taken. Else the seconds after which to ask again.

        A ticket that the book does not know (its lease ran out, the book was lost) joins the end of the line.
        """

    def sent(self, ticket: str) -> float:
        """The request leaves now and counts from now, be it that a login or a busy machine came between. The seconds
        since it was started."""

    def finish(self, ticket: str) -> None:
        """The request is over: its slot, or place, is free; one that was sent stays counted in the window."""

    def cancel(self, ticket: str) -> None:
        """The request was not sent: place or slot, and its count in the window, are given back. Does nothing to one
        that is over."""

    async def wait(self) -> float:
        """The seconds a newcomer would wait for its turn: behind everybody in line, known as far as the window
        decides, estimated from how long requests last where the slots do."""

    @property
    def paused(self) -> bool:
        """A pause after a 429 is known of; all replicas' pauses are, as of the last answer of ``wait``."""

    async def limited(self) -> None:
        """The upstream said 429 although this book had allowed the request; see ``pace``."""
