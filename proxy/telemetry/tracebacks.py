"""Tracebacks in log lines, without what a request holds."""

import sys
import traceback
from collections.abc import Iterator
from typing import Any

from structlog.typing import EventDict, Processor, WrappedLogger

CHAIN = 10
"""Exceptions shown of a chain of causes, the newest ones."""
_AFTER = {
    True: "\n\nThe above exception was the direct cause of the following exception:\n\n",
    False: "\n\nDuring handling of the above exception, another exception occurred:\n\n",
}


def tracebacks(*, messages: bool) -> Processor:
    """A processor that writes ``exc_info`` as the text ``exception``.

    What an exception says may quote what it failed at, so a request's show their frames and types alone, unless
    ``messages`` may be shown. So do a library's.
    """

    def write(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        error = _exception(event.pop("exc_info", None))
        if error is not None:
            of_a_request = "request_id" in event or "logger" in event
            event["exception"] = _without_words(error) if of_a_request and not messages else _whole(error)
        return event

    return write


def _exception(exc_info: Any) -> BaseException | None:
    """From any form that logging takes: an exception, a triple, or True for the one under way."""
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exception() if exc_info else None


def _whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip("\n")


def _without_words(error: BaseException) -> str:
    return "".join(reversed([*_parts(error)]))


def _parts(error: BaseException) -> Iterator[str]:
    """The newest exception, then what stands before it."""
    for _ in range(CHAIN):
        frames = "".join(traceback.format_tb(error.__traceback__))
        yield f"Traceback (most recent call last):\n{frames}{type(error).__qualname__}"
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        yield _AFTER[cause is error.__cause__]
        error = cause
