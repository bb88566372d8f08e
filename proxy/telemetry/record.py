"""What is noted about one request while it runs, for everything that is told of it at its end."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.core.turn import Turn
from proxy.errors import ProxyError
from proxy.telemetry.transcript import Transcript

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.telemetry.traces.spans import RequestSpan


@dataclass(slots=True)
class Record:
    """Times are of ``time.monotonic``. ``route`` is the path as it was registered. ``turn`` is None until the
    request was understood; ``provider`` and ``upstream`` until something was sent."""

    id: str
    route: str
    started: float
    correlation_id: str | None = None
    trace_id: str | None = None
    caller: str = ""
    """The name of the caller's key, where there are keys."""
    model: str | None = None
    provider: str = ""
    upstream: str | None = None
    cache: str | None = None
    """``hit``, ``miss`` or ``bypass`` where answers of the model are kept."""
    turn: Turn | None = None
    span: "RequestSpan | None" = None
    transcript: Transcript | None = None
    """What the answer said, where somebody asks for that."""
    error: ProxyError | None = None
    first_write: float | None = None
    sent: int = 0
    left: bool = False
    """The caller went away before the end."""
    status: int = 0
    seconds: float = 0.0
    """Its whole time. This and the status are there when it is over."""

    def over(self, status: int) -> None:
        """The answer has gone out, or never will."""
        self.status = status
        self.seconds = time.monotonic() - self.started

    @property
    def first_token(self) -> float | None:
        """Seconds until the first of a streamed answer went out; None when none did, or only an error."""
        if self.first_write is None or self.turn is None or not self.turn.rendered:
            return None
        return self.first_write - self.started

    @property
    def end_reason(self) -> str:
        if self.left:
            return "client_disconnect"
        return self.error.end_reason if self.error else "complete"
