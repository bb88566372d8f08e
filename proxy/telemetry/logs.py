"""structlog: one JSON object a line, or coloured lines for people. Whatever else logs goes the same way."""

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError
from structlog.typing import EventDict, Processor, WrappedLogger

from proxy.telemetry.encoding import to_json
from proxy.telemetry.output import Output

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(level: str, form: str, redact: Callable[[str], str] = str) -> None:
    """Sets up all logging of the process. ``form`` is ``json``, ``console`` or ``auto`` (console on a terminal);
    ``redact`` is asked what may be told of each line, whoever wrote it."""

    def redacted(_: WrappedLogger, __: str, line: Any) -> str:  # text: the renderer stands before it
        return redact(line)

    output = cast(TextIO, Output(sys.stdout.fileno()))  # as much of one as is used
    console = for_people(form)
    threshold = logging.getLevelNamesMapping()[level]
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
    )
    renderers.append(redacted)
    structlog.configure(
        processors=[*_SHARED, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, _library_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.getLogger("aiohttp.server").addFilter(_without_traceback_for_bad_http)
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    logging.captureWarnings(True)


def tell_of_crashes() -> None:
    """What nobody catches is an event as well, in place of Python's own lines on standard error."""
    log = structlog.get_logger()

    def crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("process.crashed", exc_info=(kind, error, trace))

    sys.excepthook = crashed
    threading.excepthook = lambda crash: crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    sys.unraisablehook = lambda crash: crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)


def for_people(form: str) -> bool:
    """Whether lines are written for people rather than as JSON."""
    return form == "console" or (form == "auto" and sys.stdout.isatty())


def _without_traceback_for_bad_http(record: logging.LogRecord) -> bool:
    """What is no HTTP is the sender's fault, and told in one line."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
    return True


def _library_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A record of a library's own logger: its text becomes ``message`` of one event with a steady name."""
    record: logging.LogRecord = event["_record"]
    event["message"] = event["event"]
    event["logger"] = record.name
    event["event"] = "library.message"
    return event


def _dumps(value: Any, **_: Any) -> str:
    return to_json(value).decode()
