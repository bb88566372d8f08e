"""Clients that shut down their side of a connection after a request, and wait for the answer (RFC 9112, 9.6).

A FIN does not tell ``shutdown()`` from ``close()``. Only data does: a closed socket answers it with RST. So an answer
that has not begun is preceded by interim responses, and comments go into a stream. The next write finds the connection
broken, and the upstream is closed within a second of the FIN.
"""

import asyncio
from collections.abc import Callable

from aiohttp import HttpVersion11, web

from proxy.server.tcp import closed_by_peer

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
EVERY_S = 0.2
MOST = 4
"""Interim responses to one request. Go's client takes five, others any number."""


class HalfClose:
    """Whether a client has shut down its side, and the probes that tell whether it is still there.

    ``comment`` writes something into the current answer that the client ignores. It is set while that can be done.
    """

    __slots__ = ("_interims", "_loop", "_timer", "comment", "seen")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seen = False
        self.comment: Callable[[], None] | None = None
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._interims = 0

    def probe(self, connection: web.RequestHandler) -> None:
        """Probe until the current answer is over: one that has begun from now on, else after a while."""
        self.cancel()
        self._interims = 0
        if self.comment is not None:
            self._probe(connection)
        else:
            self._timer = self._loop.call_later(EVERY_S, self._probe, connection)

    def watch(self, connection: web.RequestHandler) -> None:
        """Look for a FIN while reading is paused: until it goes on, none is reported."""
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY_S, self._look, connection)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, connection: web.RequestHandler) -> None:
        self._timer = None
        if connection.transport is not None and closed_by_peer(connection.transport):
            self.probe(connection)
        elif connection._buffer_paused:  # noqa: SLF001 - aiohttp has no other
            self.watch(connection)

    def _probe(self, connection: web.RequestHandler) -> None:
        self._timer = None
        transport, request = connection.transport, connection._current_request  # noqa: SLF001 - aiohttp has no other
        if transport is None or transport.is_closing() or request is None:
            return
        if request.version < HttpVersion11:  # it has neither chunks nor interim responses, so a FIN is a disconnect
            transport.abort()
            return
        if self.comment is not None:
            self.comment()
        elif not request.writer.output_size and self._interims < MOST:
            transport.write(INTERIM)
            self._interims += 1
        self._timer = self._loop.call_later(EVERY_S, self._probe, connection)
