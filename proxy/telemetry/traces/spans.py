"""The spans of one request, by OpenTelemetry's conventions for HTTP and for generative AI."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.core.turn import Turn
from proxy.dispatch.deployment import Deployment
from proxy.errors import ProxyError, safe_model
from proxy.telemetry.encoding import to_json
from proxy.telemetry.record import Record
from proxy.telemetry.texts import Texts

LEFT = "client_disconnect"
_PROPAGATOR = TraceContextTextMapPropagator()


class RequestSpan:
    """A caller's request, from its first byte to the end of the answer."""

    __slots__ = ("_open", "_redact", "_span", "_texts", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, texts: Texts | None, redact: Callable[[str], str]) -> None:
        self._tracer = tracer
        self._span = span
        self._texts = texts
        self._redact = redact
        self._open: AttemptSpan | None = None

    def attempt(self, record: Record, deployment: Deployment) -> "AttemptSpan":
        """An upstream is about to be asked."""
        context = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(f"chat {deployment.name}", context, SpanKind.CLIENT)
        self._open = AttemptSpan(span, record, self._texts, self._redact)
        if span.is_recording():
            span.set_attributes(_asked(record, deployment))
        return self._open

    def end(self, record: Record) -> None:
        span = self._span
        if self._open is not None:
            self._open.close(record.error)
        if span.is_recording():
            span.set_attributes(
                _common(record)
                | {
                    "http.request.method": "POST",
                    "http.route": record.route,
                    "http.response.status_code": record.status,
                    "proxy.end_reason": record.end_reason,
                }
            )
            if record.turn is not None:
                span.set_attribute("gen_ai.request.model", safe_model(record.turn.call.model) or record.model or "")
                span.set_attribute("langfuse.observation.type", "span")  # the generations are the attempts
                span.set_attribute("proxy.stream", record.turn.call.stream)
            if record.caller:
                span.set_attribute("proxy.caller", record.caller)
            if record.left:
                span.set_attribute("error.type", LEFT)
            elif record.error is not None:
                _fail(span, record.error)
        span.end()


class AttemptSpan:
    """One request to an upstream and its answer. What is cancelled leaves its reason to the request's end."""

    __slots__ = ("_before", "_ended_at", "_error", "_had_spoken", "_record", "_redact", "_span", "_texts", "headers")

    def __init__(self, span: Span, record: Record, texts: Texts | None, redact: Callable[[str], str]) -> None:
        self.headers: dict[str, str] = {}
        _PROPAGATOR.inject(self.headers, set_span_in_context(span, Context()))
        self._span = span
        self._record = record
        self._texts = texts
        self._redact = redact
        self._error: ProxyError | None = None
        self._ended_at = 0
        self._had_spoken = record.first_write is not None
        self._before = record.turn.usage if record.turn is not None else None

    def __enter__(self) -> Self:
        return self

    def ended(self, error: ProxyError | None) -> None:
        self._error = error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended_at = time.time_ns()
        if error is None or isinstance(error, ProxyError):
            self.close(error or self._error)

    def close(self, error: ProxyError | None) -> None:
        """Ends it, once."""
        span, record = self._span, self._record
        if not span.is_recording():
            return
        if record.turn is not None:
            self._answered(record.turn, error)
        if error is not None:
            _fail(span, error)
        elif record.left:
            span.set_attribute("error.type", LEFT)
        span.end(self._ended_at or None)

    def _answered(self, turn: Turn, error: ProxyError | None) -> None:
        span, record, usage = self._span, self._record, turn.usage
        before = self._before
        used = {
            "input": usage.prompt - (before.prompt if before else 0),
            "output": usage.completion - (before.completion if before else 0),
        }
        if any(used.values()):
            span.set_attribute("gen_ai.usage.input_tokens", used["input"])
            span.set_attribute("gen_ai.usage.output_tokens", used["output"])
            span.set_attribute("proxy.usage_estimated", usage.estimated)
        if error is None and turn.finish is not None:
            span.set_attribute("gen_ai.response.finish_reasons", [turn.finish.reason])
            answered_by = safe_model(turn.finish.model) or record.model or turn.call.model
            span.set_attribute("gen_ai.response.model", self._redact(answered_by))
            span.set_attribute("gen_ai.response.id", f"chatcmpl-{record.id}")
        if record.first_token is not None and not self._had_spoken:
            span.set_attribute("gen_ai.response.time_to_first_chunk", record.first_token)
        if self._texts is not None:
            answer = self._texts.answered(record.transcript)
            text, calls = str(answer["text"]), answer.get("tool_calls")
            message = {"role": "assistant", "content": text or None, "tool_calls": calls}
            span.set_attribute("gen_ai.prompt", to_json(self._texts.asked(turn.call)).decode())
            if text or calls:
                span.set_attribute("gen_ai.completion", to_json(message).decode() if calls else text)


def _asked(record: Record, deployment: Deployment) -> Mapping[str, str | int]:
    place = urlsplit(deployment.base_url)
    asked: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": deployment.provider,
        "gen_ai.provider.name": deployment.provider,
        "gen_ai.request.model": deployment.name,
        "langfuse.observation.type": "generation",
        "server.address": place.hostname or "",
        "proxy.upstream": deployment.label,
    }
    if place.port is not None:
        asked["server.port"] = place.port
    if record.turn is not None:
        asked["proxy.round"] = record.turn.rounds
    return _common(record) | asked


def _common(record: Record) -> dict[str, str | int]:
    """What every span of a request carries."""
    common: dict[str, str | int] = {"request_id": record.id}
    if record.correlation_id is not None:
        common["correlation_id"] = record.correlation_id
    session = record.turn.call.session if record.turn is not None else None
    if session or record.correlation_id:
        common["session.id"] = session or record.correlation_id or ""
    return common


def _fail(span: Span, error: ProxyError) -> None:
    code = error.code or error.type
    span.set_attribute("error.type", code)
    span.set_attribute("error.message", error.reason)
    if error.source != "caller":  # by the conventions a span is no failure because its caller asked for nonsense
        span.set_status(Status(StatusCode.ERROR, code))
