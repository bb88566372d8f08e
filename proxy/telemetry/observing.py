"""Makes what the configuration switches on beside the log and the metrics."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config import Config, ConfigError
from proxy.config.secrets import Redactor
from proxy.telemetry.capture.tapes import Capture
from proxy.telemetry.observers import Observers
from proxy.telemetry.runs.records import RunRecords
from proxy.telemetry.texts import Texts

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.telemetry.traces.tracer import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Observing:
    """``observers`` are told of requests, ``capture`` of what upstreams send."""

    observers: Observers
    capture: Capture | None

    async def close(self) -> None:
        """What was noted until now is written and sent, as far as that does not take long."""
        observers = self.observers
        working = [part for part in (observers.traces, observers.run_records, self.capture) if part is not None]
        await asyncio.gather(*(asyncio.to_thread(part.close) for part in working))


def observe(config: Config) -> Observing:
    """Raises ``ConfigError`` for traces that cannot be sent."""
    texts = Texts(Redactor(config)) if config.log_messages else None
    traces = _traces(config, texts) if any(config.otel.get(name) for name in ENDPOINTS) else None
    return Observing(
        Observers(
            traces=traces,
            run_records=RunRecords(Path(config.run_records), config, texts) if config.run_records else None,
            texts=texts,
            overhears=config.log_messages or logging.getLevelNamesMapping()[config.log_level] <= logging.DEBUG,
        ),
        Capture(Path(config.capture), config) if config.capture else None,
    )


def _traces(config: Config, texts: Texts | None) -> "Traces | None":
    if config.otel.get("OTEL_TRACES_EXPORTER") == "none" or config.otel.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from proxy.telemetry.traces.tracer import Traces
    except ImportError:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages of OpenTelemetry are missing: "
            "pip install 'stackspot-proxy[otel]'"
        ) from None
    return Traces(config.otel, texts, Redactor(config))
