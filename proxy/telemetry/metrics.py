"""The Prometheus metrics. Label values are bounded by the configuration: a model that is not configured is
``other``, and nothing that a caller or a model makes up becomes a label."""

import platform
from collections.abc import Iterable
from functools import lru_cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from proxy import __version__
from proxy.core.answer import Usage
from proxy.core.turn import Turn
from proxy.errors import ProxyError

DURATION = [0.01 * 2**n for n in range(16)]
FIRST_TOKEN = [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160]  # fmt: skip
OVERHEAD = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5]
SIZE = [4**n for n in range(4, 13)]
WAIT = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 120]
LOGIN = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]


class Metrics:
    """All metrics of one proxy, in a registry of their own."""

    def __init__(self, models: Iterable[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series for a time that nobody asks for
        self.registry = registry = CollectorRegistry()
        self._models = frozenset(models)
        PlatformCollector(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=tuple(buckets), registry=registry)

        self._requests = counter("proxy_requests_total", "Requests answered.", "route", "model", "status")
        self._chunks = counter(
            "proxy_stream_chunks_total", "Events read from upstreams, chunks made for callers.", "model", "direction"
        )
        self._tool_calls = counter("proxy_tool_calls_total", "Tool calls found in answers.", "model", "outcome")
        self._logins = histogram("proxy_jwt_fetch_seconds", "Time of a login at the upstream.", LOGIN, "outcome")
        self._duration = histogram(
            "proxy_request_duration_seconds", "Time from request to end of answer.", DURATION, "model", "stream"
        )
        self._first_token = histogram(
            "proxy_time_to_first_token_seconds", "Time from request to the first bytes sent.", FIRST_TOKEN, "model"
        )
        self._overhead = histogram(
            "proxy_overhead_seconds", "What the proxy itself added before the upstream request left.", OVERHEAD
        )
        self.streams = Gauge("proxy_streams_in_flight", "Answers under way.", registry=registry)
        self._ends = counter("proxy_stream_ends_total", "How answers ended.", "model", "reason")
        self._upstream_errors = counter("proxy_upstream_errors_total", "Failures of upstreams.", "upstream", "kind")
        self._retries = counter(
            "proxy_retries_total", "Tries that failed and were followed by another.", "model", "kind"
        )
        self._quota_wait = histogram(
            "proxy_quota_wait_seconds", "Time that requests waited for the quota of their account.", WAIT
        )
        self.shared = Gauge(
            "proxy_shared_state_up",
            "1 while Redis is reached, if one is configured.",
            registry=registry,
        )
        self._tokens = counter("proxy_tokens_total", "Tokens, as counted by the upstream.", "model", "type")
        self._size = histogram("proxy_response_size_bytes", "Bytes sent to the caller.", SIZE, "model")
        self._rejections = counter(
            "proxy_correlation_rejections_total", "Requests refused for their correlation id.", "reason"
        )
        Gauge("proxy_build_info", "Version.", ("version", "python"), registry=registry).labels(
            __version__, platform.python_version()
        ).set(1)
        for reason in ("missing", "invalid"):
            self._rejections.labels(reason)

    def label(self, model: str | None) -> str:
        return model if model in self._models else "other"

    def login(self, outcome: str, seconds: float) -> None:
        self._logins.labels(outcome).observe(seconds)

    def overhead(self, seconds: float) -> None:
        self._overhead.observe(seconds)

    def correlation_rejected(self, reason: str) -> None:
        self._rejections.labels(reason).inc()

    def upstream_error(self, upstream: str, error: ProxyError) -> None:
        self._upstream_errors.labels(upstream, error.code).inc()

    def retried(self, model: str, kind: str) -> None:
        self._retries.labels(self.label(model), kind).inc()

    def waited(self, seconds: float) -> None:
        self._quota_wait.observe(seconds)

    def request(self, route: str, model: str | None, status: int) -> None:
        self._request(route, self.label(model), status).inc()

    def answer(
        self, model: str, turn: Turn, *, reason: str, seconds: float, first_token: float | None, sent: int
    ) -> None:
        """Counts an answer at its end, whole or not."""
        label = self.label(model)
        self._ends.labels(label, reason).inc()
        self._duration.labels(label, "true" if turn.call.stream else "false").observe(seconds)
        if first_token is not None:
            self._first_token.labels(label).observe(first_token)
        self._size.labels(label).observe(sent)
        self._chunks.labels(label, "upstream").inc(turn.events)
        self._chunks.labels(label, "downstream").inc(turn.chunks)
        repaired = sum(call.repaired for call in turn.calls)
        self._tool_calls.labels(label, "parsed").inc(len(turn.calls) - repaired)
        self._tool_calls.labels(label, "repaired").inc(repaired)
        self._tool_calls.labels(label, "invalid").inc(turn.invalid_calls)
        self._count_tokens(label, turn.usage)

    def _count_tokens(self, label: str, usage: Usage) -> None:
        self._tokens.labels(label, "prompt").inc(usage.prompt)
        self._tokens.labels(label, "completion").inc(usage.completion)
        if usage.estimated:
            self._tokens.labels(label, "estimated").inc(usage.prompt + usage.completion)

    @lru_cache(maxsize=1024)  # noqa: B019 - one instance lives as long as the process
    def _request(self, route: str, label: str, status: int) -> Counter:
        return self._requests.labels(route, label, str(status))
