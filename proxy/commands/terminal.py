"""Writing for people at a terminal: colours, and a line that shows that something is still going on."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_EVERY_S = 0.1
_CLEAR = "\r\x1b[2K"


@dataclass(frozen=True, slots=True)
class Style:
    """Colours text, or leaves it as it is."""

    on: bool

    def red(self, text: str) -> str:
        return self._in("31", text)

    def green(self, text: str) -> str:
        return self._in("32", text)

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def dim(self, text: str) -> str:
        return self._in("2", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text


def style(stream: TextIO) -> Style:
    """Colours for a terminal, where they are not unwanted (https://no-color.org)."""
    return Style(at_terminal(stream) and not os.environ.get("NO_COLOR"))


def at_terminal(stream: TextIO) -> bool:
    """A terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Without anything that a terminal might obey."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


class Progress:
    """A line that says for how long something has been waited for, until ``clear``."""

    def __init__(self, stream: TextIO, what: str) -> None:
        self._stream = stream
        self._what = what
        self._task = asyncio.create_task(self._run()) if at_terminal(stream) else None

    def clear(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._stream.write(_CLEAR)
            self._stream.flush()

    async def _run(self) -> None:
        started, dim = time.monotonic(), style(self._stream).dim
        number = 0
        while True:
            frame = _FRAMES[number % len(_FRAMES)]
            self._stream.write(_CLEAR + dim(f"{frame} {self._what} {time.monotonic() - started:.0f} s"))
            self._stream.flush()
            number += 1
            await asyncio.sleep(_EVERY_S)


@contextmanager
def progress(stream: TextIO, what: str) -> Iterator[Progress]:
    """Shows at a terminal that ``what`` is under way; whatever happens, the line is gone afterwards."""
    shown = Progress(stream, what)
    try:
        yield shown
    finally:
        shown.clear()
