"""An exporter that tells when its receiver goes away and when it is back, once each."""

import logging
from collections.abc import Sequence

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = structlog.get_logger()

_TELLS_EACH_TIME = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class ToldExporter(SpanExporter):
    """Used by one thread at a time."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._reason = _LastWord()
        self._lost = 0
        logging.getLogger(_TELLS_EACH_TIME).addFilter(self._reason)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("traces.lost", reason=self._reason.text)
            self._lost += len(spans)
        elif self._lost:
            log.info("traces.restored", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        logging.getLogger(_TELLS_EACH_TIME).removeFilter(self._reason)
        self._exporter.shutdown()


class _LastWord(logging.Filter):
    """Keeps what a library would log, instead of having it logged."""

    text = "not taken"

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = record.getMessage()[:500]
        return False
