"""Clients that shut down their side of a connection after a request, and wait for the answer (RFC 9112, 9.6).

A FIN does not tell ``shutdown()`` from ``close()``. Only data does: a closed socket answers it with RST. So an answer
that has not begun is preceded by interim responses, and one that has by comments (see ``Watchdog``). The next write
finds the connection broken, and the upstream is closed within a second of the FIN.
"""

import asyncio

from aiohttp import HttpVersion11, web

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
EVERY_S = 0.2
MOST = 4
"""Interim responses to one request. Go's client takes five, others any number."""


class HalfClose:
    """Whether a client has shut down its side, and the probes that tell whether it is still there."""

    __slots__ = ("_loop", "_sent", "_timer", "seen")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seen = False
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0

    def probe(self, connection: web.RequestHandler) -> None:
        """Send interim responses from soon on, until the answer to the current request begins."""
        self.cancel()
        self._sent = 0
        self._timer = self._loop.call_later(EVERY_S, self._send, connection)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _send(self, connection: web.RequestHandler) -> None:
        transport, request = connection.transport, connection._current_request  # noqa: SLF001 - aiohttp has no other
        if transport is None or request is None or request.writer.output_size:
            return
        if request.version < HttpVersion11:  # it has no interim responses, so a FIN is a disconnect
            transport.abort()
            return
        transport.write(INTERIM)
        self._sent += 1
        if self._sent < MOST:
            self._timer = self._loop.call_later(EVERY_S, self._send, connection)
