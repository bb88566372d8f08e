"""The seam: what a caller's dialect and an upstream's dialect are. They meet only in ``Call`` and ``Answer``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from proxy.core.answer import Answer, Rendering, Usage
from proxy.core.call import Call
from proxy.errors import InvalidAnswer, ProxyError

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A POST to an upstream: ``path`` is relative to its base URL, ``headers`` are the dialect's own."""

    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Round:
    """Which upstream request of one caller request this is, counted from 0.

    ``correction`` is what was wrong with the answer of the round before, for the model to put right. ``room`` is
    the part of the full prompt, between 0 and 1, that the upstream has room for. No other round may follow the
    ``last``.
    """

    number: int = 0
    correction: InvalidAnswer | None = None
    room: float | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as a caller's dialect writes it."""

    status: int
    headers: Headers
    body: bytes


class Reader(Protocol):
    """Reads one upstream's answer into an ``Answer``.

    ``events`` and ``invalid`` count what was read and what could not be understood; ``progress`` grows with
    what carries the answer on, not with empty events. ``ended`` says that the upstream has ended its answer.
    ``pending`` says that something large is read in portions: the next one with ``receive_data(b"")``, and others
    have their turn before.
    """

    ended: bool

    @property
    def pending(self) -> bool: ...

    events: int
    invalid: int
    progress: int

    def receive_data(self, data: bytes) -> None: ...

    def receive_eof(self) -> None:
        """The upstream has ended cleanly; an answer that is not whole by now ends in ``fail``."""

    def receive_error(self, error: ProxyError) -> None:
        """The upstream broke off; what was held back is released before ``fail``."""

    def usage(self) -> Usage:
        """Tokens so far, as counted by the upstream or else estimated."""


class Exchange(Protocol):
    """One request to an upstream and the reading of its answer.

    ``repeatable`` says that it may be followed by another round, or sent again: not where the upstream remembers
    what it was told.
    """

    @property
    def repeatable(self) -> bool: ...

    @property
    def outgoing(self) -> Outgoing: ...

    def reader(self, sink: Answer) -> Reader: ...


class Upstream(Protocol):
    """A dialect towards one target of an upstream (an agent, a model)."""

    def exchange(self, call: Call, round: Round) -> Exchange: ...

    def refuse(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        """What an answer with another status than 200 means."""

    def admit(self, call: Call) -> tuple[str, ...]:
        """The parameters of the call that have no effect here. Raises ``InvalidRequest`` for one that it can
        neither honour nor leave out."""


class Caller(Protocol):
    """A dialect towards callers."""

    @property
    def routes(self) -> tuple[str, ...]:
        """Paths of the POST routes it serves."""

    @property
    def correlated(self) -> bool:
        """Its callers are held to send a correlation id; for others one is made."""

    def read(self, body: bytes, id: str, created: int) -> Call:
        """What a request asks for. Raises ``InvalidRequest``; ``id`` and ``created`` become the call's own."""

    def stream(self, call: Call) -> Rendering: ...
    def whole(self, call: Call) -> Rendering: ...
    def refuse(self, error: ProxyError) -> Refusal: ...
