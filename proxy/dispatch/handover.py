"""The short way of an answer: whatever one read of an upstream brought is handed on without waking a task.

A task that awaits each read costs a future, a wake-up and a walk down its coroutines for every token. This waits in
the place of such a future instead: aiohttp's reader tells its waiter that something has come, and what has come until
the loop gets round to it is handed on in one piece. It leans on names that aiohttp keeps to itself, so it is used
only where ``FITS`` finds them as expected; without it the plain way gives the same answers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp


class Handover:
    """Hands what arrives in ``content`` to ``take`` until that says no, or nothing more comes."""

    def __init__(self, content: aiohttp.StreamReader, take: Callable[[bytes], bool]) -> None:
        self._content: Any = content
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()

    async def run(self) -> None:
        """Returns when ``take`` said no, or when there is nothing to wait for: an end, or an error, with what has
        come before it still to be read."""
        content = self._content
        self._arrived()
        try:
            await self._over
        finally:
            if content._waiter is self:  # noqa: SLF001
                content._waiter = None  # noqa: SLF001

    # What the reader calls on a waiter.

    def done(self) -> bool:
        return False

    def set_result(self, _: None) -> None:
        self._loop.call_soon(self._arrived)

    def set_exception(self, _: BaseException) -> None:
        self._loop.call_soon(self._arrived)

    def _arrived(self) -> None:
        content = self._content
        try:
            while not (self._over.done() or content.is_eof() or content.exception() is not None):
                if not content._buffer:  # noqa: SLF001
                    content._waiter = self  # noqa: SLF001
                    return
                if not self._take(content.read_nowait()):
                    break
                if content._buffer:  # noqa: SLF001 - reading itself has brought more, and may do so without end
                    self._loop.call_soon(self._arrived)  # others have their turn
                    return
        except BaseException as error:  # whatever it is, the task that waits deals with it
            self._over.set_exception(error)
        else:
            if not self._over.done():
                self._over.set_result(None)


class _Probe:
    """Stands for a waiter, and for the protocol of a reader, while it is tried out."""

    told = 0

    def done(self) -> bool:
        return False

    def set_result(self, _: None) -> None:
        self.told += 1

    def set_exception(self, _: BaseException) -> None:
        self.told += 1

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def _fits() -> bool:
    """Tries aiohttp's reader out, rather than trusting a version number."""
    probe: Any = _Probe()
    try:
        reader: Any = aiohttp.StreamReader(probe, 2**16, loop=probe)
        reader._waiter = probe  # noqa: SLF001
        reader.feed_data(b"x")
        arrived = probe.told == 1 and reader._waiter is None and reader.read_nowait() == b"x"  # noqa: SLF001
        reader._waiter = probe  # noqa: SLF001
        reader.set_exception(OSError())
        return arrived and probe.told == 2 and reader._waiter is None  # noqa: SLF001
    except (AttributeError, TypeError):
        return False


FITS = _fits()
