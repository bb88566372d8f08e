"""The log events that tell of requests' ends, logins, retries and Redis, with the metrics that go with them."""

import time
from dataclasses import dataclass
from typing import Protocol

import structlog

from proxy.config import Config
from proxy.config.listeners import unprotected
from proxy.dispatch.deployment import Deployment
from proxy.errors import Internal, ProxyError
from proxy.telemetry.encoding import ms, safe_tool
from proxy.telemetry.fault import fault
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.record import Record

log = structlog.get_logger()

TELL_EVERY_S = 10.0


def request_ended(record: Record, metrics: Metrics) -> None:
    """One wide line, after one that says what went wrong if anything did."""
    error, turn = record.error, record.turn
    if error is not None:
        failed(record, error, metrics)
    metrics.ended(record)
    line: dict[str, object] = {
        "model": record.model,
        "upstream": record.upstream,
        "status": record.status,
        "code": error.code if error is not None else None,
        "source": fault(error) if error is not None else None,
        "end_reason": record.end_reason,
        "duration_ms": ms(record.seconds),
    }
    if record.cache is not None:
        line["cache"] = record.cache
    if turn is not None:
        first_token = record.first_token
        if turn.invalid_events:
            log.warning("sse.event_invalid", upstream=record.upstream, count=turn.invalid_events)
        for call in turn.calls:
            log.info("tool_call.detected", name=safe_tool(call.name), size=call.size)
        log.debug("stream.chunks", upstream=turn.events, downstream=turn.chunks)
        usage = turn.usage
        line |= {
            "stream": turn.call.stream,
            "ttft_ms": ms(first_token) if first_token is not None else None,
            "chunks": turn.chunks,
            "events": turn.events,
            "tool_calls": len(turn.calls),
            "rounds": turn.rounds,
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "tokens": usage.prompt + usage.completion,
            "bytes": record.sent,
        }
        if turn.call.session is not None:
            line["session"] = turn.call.session
    log.info("request.finished", **line)


def failed(record: Record, error: ProxyError, metrics: Metrics) -> None:
    """One line that says what went wrong, and with whom."""
    metrics.attempt_failed(record.provider, error)
    if error.source == "upstream":
        log.error("upstream.failed", upstream=record.upstream, code=error.code, reason=error.reason)
    elif not (record.sent or isinstance(error, Internal)):  # which has an event of its own
        log.warning("request.rejected", status=error.status, code=error.code, param=error.param, reason=error.reason)


def configured(config: Config, event: str) -> None:
    """Which configuration counts, after what its user should hear of it."""
    for warning in config.warnings:
        log.warning("config.warning", warning=warning)
    for model in config.models:
        if model.ssl_verify is False:
            log.warning("tls.verification_disabled", model=model.name, api_base=model.api_base)
    for setting, reason in unprotected(config):
        log.warning("keys.missing", setting=setting, reason=reason)
    if config.log_messages:
        log.warning("messages.logged", reason="LOG_MESSAGES is on: what callers write and are answered is in the log")
    log.info(event, source=config.source, models=[model.name for model in config.models], demo=config.demo)


class Countable(Protocol):
    open: int


class ConnectionEvents:
    """Tells of callers' connections that could not be had: of the first at once, then every ``TELL_EVERY_S``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counted: list[Countable] = []
        self._lines: dict[str, _Repeated] = {}
        metrics.connections.set_function(lambda: sum(each.open for each in self._counted))

    def count(self, connections: Countable) -> None:
        """These count as open too."""
        self._counted.append(connections)

    def connection_refused(self) -> None:
        self._metrics.connection_refused("limit")
        self._tell("connections.refused", "there are as many as limits.max_connections allows")

    def accept_failed(self, reason: str) -> None:
        self._metrics.connection_refused("system")
        self._tell("accept.failed", reason)

    def _tell(self, event: str, reason: str) -> None:
        now = time.monotonic()
        repeated = self._lines.setdefault(event, _Repeated())
        repeated.count += 1
        if now >= repeated.due:
            log.error(event, reason=reason, count=repeated.count)
            repeated.count, repeated.due = 0, now + TELL_EVERY_S


@dataclass(slots=True)
class _Repeated:
    """An event that would flood the log: so often it came since it was last written."""

    count: int = 0
    due: float = 0.0


class LoginEvents:
    """Tells of logins; the client's secret is known to neither."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def login(self, outcome: str, seconds: float, error: ProxyError | None) -> None:
        self._metrics.login(outcome, seconds)
        if error is None:
            log.info("auth.succeeded", duration_ms=ms(seconds))
        else:
            log.error("auth.failed", duration_ms=ms(seconds), code=error.code, reason=error.reason)


class RetryEvents:
    """Tells of tries that failed and were followed by another."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def retried(self, failed: Deployment, error: ProxyError, delay: float) -> None:
        self._failed(failed, error, "retry")
        log.warning("upstream.retried", **_failure(failed, error), delay_ms=ms(delay))

    def fell_back(self, failed: Deployment, error: ProxyError, to: str) -> None:
        self._failed(failed, error, "fallback")
        log.warning("upstream.fell_back", **_failure(failed, error), to=to)

    def _failed(self, failed: Deployment, error: ProxyError, kind: str) -> None:
        self._metrics.retried(failed.name, kind)
        self._metrics.attempt_failed(failed.provider, error)


class SharingEvents:
    """Tells whether what replicas share is shared."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.shared(True)

    def lost(self, reason: str) -> None:
        self._metrics.shared(False)
        log.warning("redis.lost", reason=reason)

    def restored(self) -> None:
        self._metrics.shared(True)
        log.info("redis.restored")

    def refused(self, reason: str) -> None:
        log.warning("redis.refused", reason=reason)


def _failure(failed: Deployment, error: ProxyError) -> dict[str, object]:
    return {"model": failed.name, "upstream": failed.label, "code": error.code, "reason": error.reason}
