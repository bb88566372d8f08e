"""What happened: every chat request with its end, the logins, and their counts."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["complete", "client_closed", "scripted", "refused"]

BYTES_KEPT = 64 * 1024 * 1024


@dataclass(slots=True)
class Exchange:
    """One chat request. `arrived` is on the monotonic clock, `seconds` run from there to its end."""

    agent_id: str
    headers: dict[str, str]
    correlation_id: str | None
    body: object
    bytes: int
    arrived: float
    realm: str | None = None
    client_id: str | None = None
    status: int | None = None
    generating: bool = False
    end: Outcome | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Ledger:
    """The newest `kept` exchanges, fewer where their bodies are large, and counts of all."""

    kept: int
    exchanges: deque[Exchange] = field(default_factory=deque)
    requests: int = 0
    generations: int = 0
    open_streams: int = 0
    open_streams_max: int = 0
    ends: Counter[Outcome] = field(default_factory=Counter)
    rate_limited: int = 0
    logins: int = 0
    logins_failed: int = 0
    concurrent_logins: int = 0
    concurrent_logins_max: int = 0
    _bytes: int = 0

    def arrived(self, exchange: Exchange) -> None:
        self.requests += 1
        self.exchanges.append(exchange)
        self._bytes += exchange.bytes
        while len(self.exchanges) > self.kept or (self._bytes > BYTES_KEPT and len(self.exchanges) > 1):
            self._bytes -= self.exchanges.popleft().bytes

    def generation(self, exchange: Exchange) -> None:
        exchange.generating = True
        self.generations += 1
        self.open_streams += 1
        self.open_streams_max = max(self.open_streams_max, self.open_streams)

    def ended(self, exchange: Exchange, end: Outcome) -> None:
        """The first end told is the one that counts."""
        if exchange.end is not None:
            return
        exchange.end = end
        exchange.seconds = time.monotonic() - exchange.arrived
        self.ends[end] += 1
        self.open_streams -= exchange.generating

    @contextmanager
    def login(self) -> Iterator[None]:
        self.logins += 1
        self.concurrent_logins += 1
        self.concurrent_logins_max = max(self.concurrent_logins_max, self.concurrent_logins)
        try:
            yield
        finally:
            self.concurrent_logins -= 1

    def stats(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "generations": self.generations,
            "open_streams": self.open_streams,
            "open_streams_max": self.open_streams_max,
            "complete": self.ends["complete"],
            "client_closed": self.ends["client_closed"],
            "scripted": self.ends["scripted"],
            "refused": self.ends["refused"],
            "rate_limited": self.rate_limited,
            "logins": self.logins,
            "logins_failed": self.logins_failed,
            "concurrent_logins": self.concurrent_logins,
            "concurrent_logins_max": self.concurrent_logins_max,
        }
