"""What is noted about one request while it runs, for its log line and the metrics at its end."""

from dataclasses import dataclass

from proxy.core.turn import Turn
from proxy.errors import ProxyError


@dataclass(slots=True)
class Record:
    """Times are of ``time.monotonic``. ``route`` is the path as it was registered. ``turn`` is None until the
    request was understood; ``provider`` and ``upstream`` until something was sent."""

    id: str
    route: str
    started: float
    correlation_id: str | None = None
    caller: str = ""
    """The name of the caller's key, where there are keys."""
    model: str | None = None
    provider: str = ""
    upstream: str | None = None
    turn: Turn | None = None
    error: ProxyError | None = None
    first_write: float | None = None
    sent: int = 0
    left: bool = False
    """The caller went away before the end."""

    @property
    def end_reason(self) -> str:
        if self.left:
            return "client_disconnect"
        return self.error.end_reason if self.error else "complete"
