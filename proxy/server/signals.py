"""Signals of the serving process, from before it reads its configuration to its end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Stopped(Exception):
    """The process was asked to stop before it served."""


class Signals:
    """SIGTERM and SIGHUP of the running event loop; SIGINT too once ``serving()`` was called.

    Process 1 of a container has no default actions: a signal without a handler is lost.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        """A second signal came."""
        self._start: asyncio.Timeout | None = None
        self._on_hangup: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Work that SIGTERM ends, wherever it waits. Raises ``Stopped`` then."""
        try:
            async with asyncio.timeout(None) as self._start:
                if self.stop.is_set():
                    raise Stopped
                yield
        except TimeoutError:
            if self.stop.is_set():
                raise Stopped from None
            raise
        finally:
            self._start = None

    def serving(self, on_hangup: Callable[[], None] | None) -> None:
        """From now on SIGINT drains as SIGTERM does, and SIGHUP calls ``on_hangup``; before, it is ignored."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop)
        self._on_hangup = on_hangup

    def _stop(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()
        if self._start is not None and not self._start.expired():
            self._start.reschedule(0)

    def _hang_up(self) -> None:
        if self._on_hangup is not None:
            self._on_hangup()
