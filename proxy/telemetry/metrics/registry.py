"""What is counted and measured, for Prometheus. Label values are bounded by the configuration: a model that is not
configured is ``other``, and nothing that a caller or a model makes up becomes a label."""

import platform
from collections.abc import Iterable, Iterator
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from proxy import __version__
from proxy.core.turn import Turn
from proxy.dispatch.deployment import Deployment
from proxy.errors import BodyTooSlow, ProxyError, QuotaExceeded, UpstreamError
from proxy.telemetry.fault import fault
from proxy.telemetry.metrics.children import ModelChildren
from proxy.telemetry.metrics.families import Families
from proxy.telemetry.metrics.tally import Tally
from proxy.telemetry.record import Record

OTHER = "other"
NOBODY = "none"
EXEMPLAR_CHARS = 128
"""How long the names and values of an exemplar may be together, says OpenMetrics."""


class Metrics:
    """All metrics of one proxy, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series for a time that nobody asks for
        self.registry = registry = CollectorRegistry()
        PlatformCollector(registry)
        ProcessCollector(registry=registry)
        GCCollector(registry)
        self._families = families = Families(registry)
        self.streams = families.streams
        self.connections = families.connections
        self._shared: Gauge | None = None
        self._tallies: dict[str, Tally] = {}
        """Of the answers under way, by their requests' ids."""
        self._requests: dict[tuple[str, str, int], Counter] = {}

        self._children = {OTHER: ModelChildren(families, OTHER)}
        self._logins = {outcome: families.logins.labels(outcome) for outcome in ("succeeded", "failed")}
        self._rejections = {reason: families.rejections.labels(reason) for reason in ("missing", "invalid")}
        self._refused = {reason: families.connections_refused.labels(reason) for reason in ("limit", "system")}
        self._reloads = {outcome: families.reloads.labels(outcome) for outcome in ("succeeded", "failed")}
        families.reloaded.set(1)
        families.build.labels(__version__, platform.python_version()).set(1)

    def serve(self, models: Iterable[tuple[str, str]]) -> None:
        """These models are served from now on, given by name and provider. What was counted of others stays."""
        for name, provider in models:
            if name not in self._children:
                self._children[name] = ModelChildren(self._families, name)
            for kind in _kinds(UpstreamError):
                self._families.upstream_errors.labels(provider, kind)

    def watch(self, deployments: Iterable[Deployment]) -> None:
        """The cool-downs of these are shown from now on. Those that share model and label show the longest."""
        found: dict[tuple[str, str], list[Deployment]] = {}
        for deployment in deployments:
            found.setdefault((deployment.name, deployment.label), []).append(deployment)
        self._families.cooling.clear()
        for labels, group in found.items():
            self._families.cooling.labels(*labels).set_function(partial(_cooling, group))

    def reloaded(self, outcome: str) -> None:
        """The configuration has changed, and was taken or not."""
        self._reloads[outcome].inc()
        self._families.reloaded.set(outcome == "succeeded")

    def connection_refused(self, reason: str) -> None:
        self._refused[reason].inc()

    def login(self, outcome: str, seconds: float) -> None:
        self._logins[outcome].observe(seconds)

    def overhead(self, seconds: float, record: Record) -> None:
        self._families.overhead.observe(seconds, _exemplar(record))

    def correlation_rejected(self, reason: str) -> None:
        self._rejections[reason].inc()

    def attempt_failed(self, provider: str, error: ProxyError) -> None:
        """One try failed, whether or not another followed."""
        if isinstance(error, QuotaExceeded):
            self._families.quota_refusals.inc()
        elif isinstance(error, UpstreamError):
            self._families.upstream_errors.labels(provider or NOBODY, error.code or NOBODY).inc()

    def retried(self, model: str, kind: str) -> None:
        self._of(model).retries[kind].inc()

    def cached(self, model: str, outcome: str) -> None:
        self._of(model).cache[outcome].inc()

    def waited(self, seconds: float) -> None:
        self._families.quota_wait.observe(seconds)

    def shared(self, up: bool) -> None:
        """What replicas share is shared. Never told where nothing is to be: an alert must not take that for a loss."""
        if self._shared is None:
            self._shared = Gauge("proxy_shared_state_up", "1 while Redis is reached.", registry=self.registry)
        self._shared.set(up)

    def looked(self, late: float) -> None:
        """The watchdog has looked, ``late`` seconds after it wanted to."""
        self._families.lag.observe(late)
        for tally in self._tallies.values():
            tally.flush()

    def begun(self, record: Record, turn: Turn) -> None:
        """The request was understood; from here on its chunks are counted."""
        self._tallies[record.id] = Tally(turn, self._of(record.model))

    def moved(self, record: Record) -> None:
        """Another model answers than the one before."""
        self._tallies[record.id].move(self._of(record.model))

    def request(self, record: Record) -> None:
        """A request, of whatever kind, is over."""
        key = record.route, record.model if record.model in self._children else OTHER, record.status
        child = self._requests.get(key)
        if child is None:
            child = self._requests[key] = self._families.requests.labels(*map(str, key))
        child.inc()

    def ended(self, record: Record) -> None:
        """A request for an answer is over, answered or not."""
        children, exemplar = self._of(record.model), _exemplar(record)
        if record.error is not None:
            children.failed[fault(record.error)].inc(exemplar=exemplar)
        if record.turn is not None:
            self._answer(record, record.turn, children, exemplar)
        begun = record.turn is not None or isinstance(record.error, BodyTooSlow)
        if begun and (end := children.ends.get(record.end_reason)) is not None:  # none for one that was refused
            end.inc(exemplar=exemplar)

    def _answer(self, record: Record, turn: Turn, children: ModelChildren, exemplar: dict[str, str]) -> None:
        self._tallies.pop(record.id).flush()
        (children.streamed if turn.call.stream else children.whole).observe(record.seconds, exemplar)
        children.size.observe(record.sent)
        if turn.calls or turn.invalid_calls:
            for call in turn.calls:
                children.tool_calls[call.outcome].inc()
            children.tool_calls["invalid"].inc(turn.invalid_calls)
        if record.cache == "hit":
            return  # nobody was asked, nothing was generated
        usage = turn.usage
        children.tokens["prompt"].inc(usage.prompt)
        children.tokens["completion"].inc(usage.completion)
        if usage.estimated:
            children.tokens["estimated"].inc(usage.prompt + usage.completion)
        if not record.provider:
            return  # nobody was asked
        gen_ai, first_token = children.gen_ai(record.provider), record.first_token
        gen_ai.operations.observe(record.seconds, exemplar)
        if first_token is not None:
            children.first_token.observe(first_token, exemplar)
            gen_ai.first_token.observe(first_token, exemplar)
        if usage.prompt or usage.completion:
            gen_ai.input.observe(usage.prompt)
            gen_ai.output.observe(usage.completion)

    def _of(self, model: str | None) -> ModelChildren:
        return self._children.get(model or OTHER) or self._children[OTHER]


def _cooling(deployments: Iterable[Deployment]) -> float:
    return max(deployment.health.cooling for deployment in deployments)


def _exemplar(record: Record) -> dict[str, str]:
    """What leads from a point of a graph to the trace of one request, or to its log lines."""
    if record.trace_id:
        return {"trace_id": record.trace_id}
    sent = record.correlation_id
    fits = sent is not None and len("correlation_id") + len(sent) <= EXEMPLAR_CHARS
    return {"correlation_id": sent} if sent and fits else {"request_id": record.id}


def _kinds(error: type[ProxyError]) -> Iterator[str]:
    """The codes at the ends of a branch of the errors' tree."""
    narrower = error.__subclasses__()
    if not narrower:
        yield error.code or NOBODY
    for branch in narrower:
        yield from _kinds(branch)
