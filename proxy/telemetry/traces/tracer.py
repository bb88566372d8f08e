"""Traces by OpenTelemetry, sent by OTLP over HTTP: a server span for each request, a client span for each request to
an upstream, with the attributes that Langfuse and others read. To be imported only where traces are switched on.

Exporting is the business of the SDK's own thread; its queue is bounded, and nothing here ever waits for it.
"""

import os
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy import __version__
from proxy.config import ConfigError
from proxy.telemetry.record import Record
from proxy.telemetry.texts import Texts
from proxy.telemetry.traces.exporter import ToldExporter
from proxy.telemetry.traces.spans import RequestSpan

log = structlog.get_logger()

NAME = "stackspot-proxy"
FLUSH_S = 3.0
"""How long what is still to be sent may take at the end; a collector that hangs does not hold up the shutdown."""
_PROPAGATOR = TraceContextTextMapPropagator()


class Traces:
    """``variables`` are those of OpenTelemetry, all of which are honoured. ``texts`` are attached where there are
    any. ``redact`` masks secrets in what upstreams say."""

    def __init__(self, variables: Mapping[str, str], texts: Texts | None, redact: Callable[[str], str]) -> None:
        _check(variables)
        for name, value in variables.items():
            os.environ.setdefault(name, value)  # the SDK reads them there, and knows of no .env
        self._texts = texts
        self._redact = redact
        try:
            self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(ToldExporter(OTLPSpanExporter())))
        except ValueError as error:
            raise ConfigError(f"the OTEL_ variables: {error}") from None
        self._tracer: Tracer = self._provider.get_tracer(NAME, __version__)

    def begin(self, record: Record, headers: Mapping[str, str]) -> None:
        """A request has come; it goes on with the trace that its headers name."""
        context = _PROPAGATOR.extract(headers, Context()) if "traceparent" in headers else Context()
        name = f"POST {record.route}"
        span = self._tracer.start_span(name, context, SpanKind.SERVER)
        record.span = RequestSpan(self._tracer, span, self._texts, self._redact)
        sampled = span.get_span_context()
        if sampled.trace_flags.sampled:
            record.trace_id = format(sampled.trace_id, "032x")
            structlog.contextvars.bind_contextvars(trace_id=record.trace_id)

    def close(self) -> None:
        """Sends what is left, for ``FLUSH_S`` at most."""
        flushing = threading.Thread(target=self._provider.shutdown, name="otel-shutdown", daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)
        if flushing.is_alive():
            log.warning("traces.unsent", reason=f"the collector did not take them within {FLUSH_S:g} s")


def _resource() -> Resource:
    """Who we are, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""
    ours = Resource({SERVICE_NAME: NAME, SERVICE_VERSION: __version__})
    return Resource.create().merge(ours).merge(OTELResourceDetector().detect())


def _check(variables: Mapping[str, str]) -> None:
    """Raises ``ConfigError`` for what could only fail later, out of sight."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if value := variables.get(name):
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ConfigError(f"{name}: a URL that begins with http:// or https:// is expected")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := variables.get(name):
            if protocol != "http/protobuf":
                raise ConfigError(f"{name}: traces are sent by http/protobuf only, not by {protocol!r}")
            return
