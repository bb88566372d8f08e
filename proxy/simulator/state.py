"""The simulator's live state: its settings, and what it has been told, has issued and has seen."""

import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

from .accounts import Arrivals, RateLimit, Tokens
from .ledger import Ledger
from .replay import STACKSPOT, Recording
from .script import Answer
from .strict import Invalid

ANY = "*"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the simulator behaves where no script says otherwise."""

    interval_s: float = 0.02  # between deltas
    before_status_s: float = 0.0  # silence before the status line
    token_lifetime_s: float = 1199.0
    expires_in: bool = True  # whether a login's answer says how long the token lives
    login_delay_s: float = 0.0
    login_failure_status: int | None = None  # every login is answered so
    rate_limit: RateLimit | None = None  # per realm and client id
    context_tokens: int | None = None  # prompts beyond are refused with INFERENCE_6001
    requests_kept: int = 1000

    def __post_init__(self) -> None:
        if self.login_failure_status is not None and not 400 <= self.login_failure_status <= 599:
            raise Invalid("login_failure_status", "must be between 400 and 599")


@dataclass(slots=True)
class Scripts:
    """Answers to be given, by correlation id, or to any request under `*`."""

    _lists: dict[str, deque[Answer]] = field(default_factory=dict)

    def put(self, key: str, answers: tuple[Answer, ...]) -> None:
        self._lists[key] = deque(answers)

    def take(self, correlation_id: str | None) -> Answer | None:
        for key in (correlation_id, ANY):
            if key is not None and (answers := self._lists.get(key)):
                return answers[0] if len(answers) == 1 and answers[0].repeat else answers.popleft()
        return None


class State:
    """Everything that changes while the simulator runs; `reset` takes it back to the start."""

    settings: Settings
    scripts: Scripts
    tokens: Tokens
    arrivals: Arrivals
    ledger: Ledger
    recordings: Iterator[Recording] | None
    """StackSpot's, over and over; None if there are none."""
    others: Iterator[Recording] | None
    """The same of OpenAI-compatible providers."""

    def __init__(self, settings: Settings, recordings: tuple[Recording, ...] = ()) -> None:
        self._initial = settings
        self._recordings = recordings
        self.reset()

    def reset(self) -> None:
        """Streams that are open go on, and are counted in the ledger that they began in."""
        self.settings = self._initial
        self.scripts = Scripts()
        self.tokens = Tokens()
        self.arrivals = Arrivals()
        self.ledger = Ledger(self._initial.requests_kept)
        of_stackspot = [recording for recording in self._recordings if recording.provider == STACKSPOT]
        of_others = [recording for recording in self._recordings if recording.provider != STACKSPOT]
        self.recordings = cycle(of_stackspot) if of_stackspot else None
        self.others = cycle(of_others) if of_others else None

    def change(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger.kept = settings.requests_kept


def ulid() -> str:
    """An id as StackSpot's are: 48 bits of time, 80 of chance."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
