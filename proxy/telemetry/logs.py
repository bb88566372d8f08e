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
from proxy.telemetry.output import Output, output
from proxy.telemetry.tracebacks import tracebacks

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

LIBRARY = "library.message"
"""The event of a library's record, whose level is the library's."""
_HANDLE_REQUESTS = frozenset({"aiohttp", "asyncio"})


def configure(level: str, form: str, redact: Callable[[str], str] = str, *, messages: bool = False) -> None:
    """Sets up all logging of the process. ``form`` is ``json``, ``console`` or ``auto`` (console on a terminal);
    ``redact`` is asked what may be told of each line, whoever wrote it. With ``messages`` tracebacks of requests show
    what exceptions say, which may quote a prompt."""

    def redacted(_: WrappedLogger, __: str, line: Any) -> str:  # text: the renderer stands before it
        return redact(line)

    lines = output(sys.stdout.fileno())
    console = for_people(form)
    threshold = logging.getLevelNamesMapping()[level]
    renderers: list[Processor] = [
        tracebacks(messages=messages),
        structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
        if console
        else structlog.processors.JSONRenderer(serializer=_dumps),
        redacted,
    ]
    structlog.configure(
        processors=[*_SHARED, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _LineLogger(lines),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(cast(TextIO, lines))  # as much of one as is used
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, _library_event],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.getLogger("aiohttp.server").addFilter(_without_traceback_for_bad_http)
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    logging.captureWarnings(True)
    lines.on_recovery = _lines_lost


def tell_of_crashes() -> None:
    """What nobody catches is an event as well, in place of Python's own lines on standard error."""
    log = structlog.get_logger()

    def crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("process.crashed", exc_info=(kind, error, trace))

    sys.excepthook = crashed
    threading.excepthook = lambda crash: crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    sys.unraisablehook = lambda crash: crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)


class _LineLogger:
    """Pass rendered lines on. It takes no lock, unlike structlog's own: the garbage collector may log while a line is
    written."""

    def __init__(self, lines: Output) -> None:
        self._write = lines.write

    def msg(self, line: str) -> None:
        self._write(f"{line}\n")

    debug = info = warning = error = critical = msg


class _Handler(logging.StreamHandler[TextIO]):
    """Log a record that cannot be formatted as an event, in place of a traceback on standard error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging gives it
        structlog.get_logger().error(LIBRARY, logger=record.name, message="a record that cannot be formatted")


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
    """A record of a library's own logger: its text becomes ``message`` of one event with a steady name.

    Those that handle requests may put what was sent into a record's arguments, or below its first line, as asyncio
    does with the exception of a task: of them only the first line of the message itself is shown.
    """
    record: logging.LogRecord = event["_record"]
    handles_requests = record.name.partition(".")[0] in _HANDLE_REQUESTS
    event["message"] = str(record.msg).partition("\n")[0] if handles_requests else event["event"]
    event["logger"] = record.name
    event["event"] = LIBRARY
    return event


def _dumps(value: Any, **_: Any) -> str:
    return to_json(value).decode()


def _lines_lost(count: int) -> None:
    structlog.get_logger().warning("log.lines_lost", lines=count)
