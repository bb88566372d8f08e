"""The children of the metrics of one model, looked up once instead of at every request."""

from functools import cached_property

from prometheus_client import Counter, Histogram

from proxy.telemetry.fault import SOURCES
from proxy.telemetry.metrics.families import Families

END_REASONS = (
    "complete",
    "client_disconnect",
    "upstream_truncated",
    "upstream_error",
    "idle_timeout",
    "first_token_timeout",
    "connect_timeout",
    "total_timeout",
    "request_timeout",
    "invalid_answer",
    "write_stall",
    "shutdown",
    "internal_error",
)
OPERATION = "chat"


class ModelChildren:
    """Counters stand at zero from the start, so that the first failure shows as a change; histograms, which are
    many series each, are made when there is something to observe."""

    def __init__(self, families: Families, model: str) -> None:
        self._families = families
        self._model = model
        self._gen_ai: dict[str, GenAIChildren] = {}
        self.events = families.chunks.labels(model, "upstream")
        self.chunks = families.chunks.labels(model, "downstream")
        self.failed = {source: families.failed.labels(model, source) for source in SOURCES}
        self.ends = {reason: families.ends.labels(model, reason) for reason in END_REASONS}
        self.tool_calls = {
            outcome: families.tool_calls.labels(model, outcome)
            for outcome in ("parsed", "repaired", "rescued", "invalid")
        }
        self.tokens = {kind: families.tokens.labels(model, kind) for kind in ("prompt", "completion", "estimated")}
        self.retries = {kind: families.retries.labels(model, kind) for kind in ("retry", "fallback")}

    @cached_property
    def cache(self) -> dict[str, Counter]:
        return {outcome: self._families.cache.labels(self._model, outcome) for outcome in ("hit", "miss", "bypass")}

    @cached_property
    def streamed(self) -> Histogram:
        return self._families.duration.labels(self._model, "true")

    @cached_property
    def whole(self) -> Histogram:
        return self._families.duration.labels(self._model, "false")

    @cached_property
    def first_token(self) -> Histogram:
        return self._families.first_token.labels(self._model)

    @cached_property
    def size(self) -> Histogram:
        return self._families.size.labels(self._model)

    def gen_ai(self, system: str) -> "GenAIChildren":
        found = self._gen_ai.get(system)
        if found is None:
            found = self._gen_ai[system] = GenAIChildren(self._families, system, self._model)
        return found


class GenAIChildren:
    """Those with OpenTelemetry's names, for one model of one provider."""

    def __init__(self, families: Families, system: str, model: str) -> None:
        self._families = families
        self._labels = (OPERATION, system, model)
        self.operations = families.operations.labels(*self._labels)

    @cached_property
    def first_token(self) -> Histogram:
        return self._families.server_first_token.labels(*self._labels)

    @cached_property
    def input(self) -> Histogram:
        return self._families.usage.labels(*self._labels, "input")

    @cached_property
    def output(self) -> Histogram:
        return self._families.usage.labels(*self._labels, "output")
