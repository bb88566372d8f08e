"""What was asked for and how it ended."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from proxy.simulator.ledger import Outcome
from proxy.simulator.wire import Step

KEPT = 5000


@dataclass(slots=True)
class Exchange:
    """One request. `arrived` is on the monotonic clock, `seconds` run from there to its end, `sent` counts bytes."""

    method: str
    path: str
    headers: dict[str, str]
    correlation_id: str | None
    body: object
    arrived: float
    status: int | None = None
    sent: int = 0
    end: Outcome | None = None
    seconds: float | None = None

    def counted(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The same steps; their bytes count once they have been written."""
        for step in steps:
            yield step
            if isinstance(step, bytes):
                self.sent += len(step)


@dataclass(slots=True)
class Log:
    """The newest exchanges, and counts of all."""

    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=KEPT))
    requests: int = 0
    open: int = 0
    open_max: int = 0
    _ends: Counter[Outcome] = field(default_factory=Counter)

    def arrived(self, request: web.Request, body: bytes) -> Exchange:
        exchange = Exchange(
            request.method,
            request.path_qs,
            {name.lower(): masked(name, value) for name, value in request.headers.items()},
            request.headers.get("correlation-id"),
            _json_or_text(body),
            time.monotonic(),
        )
        self.exchanges.append(exchange)
        self.requests += 1
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        return exchange

    def ended(self, exchange: Exchange, end: Outcome) -> None:
        """The first end told is the one that counts."""
        if exchange.end is None:
            exchange.end, exchange.seconds = end, time.monotonic() - exchange.arrived
            self._ends[end] += 1
            self.open -= 1

    def stats(self) -> dict[str, int]:
        ends: tuple[Outcome, ...] = ("complete", "client_closed", "scripted", "refused")
        counts = {"requests": self.requests, "open": self.open, "open_max": self.open_max}
        return counts | {end: self._ends[end] for end in ends}


def masked(name: str, value: str) -> str:
    """A header's value; of a credential the scheme and the last four characters."""
    if name.lower() != "authorization":
        return value
    scheme, _, key = value.partition(" ")
    return f"{scheme} ***{key[-4:]}" if key else "***"


def _json_or_text(body: bytes) -> object:
    try:
        found: object = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return found
