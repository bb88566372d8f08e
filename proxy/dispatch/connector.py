"""aiohttp's pool of connections, with three rules that it lacks.

- Bytes that arrive on an idle connection answer no request: they close it. aiohttp parses them and hands them to the
  next request (``BaseConnector._get`` asks ``is_connected`` only).
- A connection on which nothing may have begun yet is told apart from one that broke in the middle of a request:
  ``StaleConnection``.
- A server may send ``1xx`` responses before the real one only so often; aiohttp passes over any number.

The rules lean on private names of aiohttp; ``tests/faults/hostile/test_kept_connections.py`` holds them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from time import monotonic
from typing import Any

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.tracing import Trace

from proxy.dispatch.slices import SlicedHandler
from proxy.dispatch.sockets import all_received, has_unread, reset

INFORMATIONAL = 100
"""The most ``1xx`` responses before a real one."""
SWITCHED = 101

REST_S = 1.0
"""Seconds for which a connection is not used again after a response. A response that is repeated late would otherwise
arrive while the next request waits for its own, and HTTP/1.1 gives no means to tell the two apart."""
RESTING = 100
"""The most connections to one server that rest; with more, the longest idle one is used."""
STALE_S = 0.1
"""A reused connection that is lost within so many seconds, without a byte, was closed before the request arrived."""

_fresh: ContextVar[bool] = ContextVar("fresh", default=False)


class StaleConnection(aiohttp.ServerDisconnectedError):
    """A reused connection failed before the server can have begun on the request, which may be sent again."""

    def __init__(self) -> None:
        super().__init__("the connection was no longer usable")


@contextmanager
def fresh_connection() -> Iterator[None]:
    """Requests sent in this context get a new connection."""
    token = _fresh.set(True)
    try:
        yield
    finally:
        _fresh.reset(token)


class Connector(aiohttp.TCPConnector):
    """A pool whose connections are reused only when nothing is held, and after ``REST_S``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        loop = asyncio.get_running_loop()
        self._factory: Any = partial(_Protocol, loop=loop)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        if _fresh.get():
            return None
        idle = self._conns.get(key)
        while idle:
            protocol, since = idle[0]  # the longest idle one
            age = monotonic() - since
            if age <= (self._keepalive_timeout or 0) and _usable(protocol):
                if age < REST_S and len(idle) <= RESTING:
                    return None
                break
            idle.popleft()
            protocol.close()
        connection = await super()._get(key, traces)
        if connection is not None and isinstance(connection.protocol, _Protocol):
            connection.protocol.reuse()
        return connection

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, _Protocol):
            protocol.idle()


class _Protocol(SlicedHandler):
    """aiohttp's protocol of one connection, which knows whether a response is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0
        self._answered = False
        """The head of the real response has arrived."""
        self._due = True
        """What arrives belongs to a response. Always so on a new connection, where it is nobody else's."""
        self._written = False
        self._reused_at: float | None = None

    def idle(self) -> None:
        """The connection is out of use, in the pool or closed."""
        self._due = self._written = False

    def reuse(self) -> None:
        """The connection is taken from the pool for another request."""
        self._answered = False
        self._reused_at = self._loop.time()

    def holds_bytes(self) -> bool:
        """Something is left of what arrived after the last response. Only for an idle connection."""
        if self.should_close or self._parser is None:
            return True
        try:  # a part of a head is seen in no other way; the next request gets a new parser
            return self._parser.feed_eof() is not None
        except http_exceptions.HttpProcessingError:
            return True

    def start_timeout(self) -> None:
        """aiohttp calls this when it has written the request."""
        self._written = True
        super().start_timeout()

    def data_received(self, data: bytes) -> None:
        if data and not self._due and not self._request_received():
            self._discard()
            return
        super().data_received(data)
        if not self._due and self.transport is not None and self.holds_bytes():
            self._discard()

    def _request_received(self) -> bool:
        """The server has a request, whole, so that what arrives may be its response."""
        self._due = self._written and self.transport is not None and all_received(self.transport)
        return self._due

    def _discard(self) -> None:
        """Close a connection that has received what belongs to no request. A request that was not received whole never
        will be."""
        self.set_exception(StaleConnection())
        if self.transport is not None and not self.transport.is_closing():
            reset(self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._reused_at is not None and not self._due and self._loop.time() - self._reused_at < STALE_S:
            self.set_exception(StaleConnection())
        super().connection_lost(exc)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        if self._answered:  # a second response to one request, read together with the end of the first
            self._discard()
            return
        if not 100 <= data[0].code < 200 or data[0].code == SWITCHED:
            self._answered = True
            self._informational = 0
        else:
            self._informational += 1
        if self._informational <= INFORMATIONAL:
            super().feed_data(data, size)
        elif self._exception is None:
            self.set_exception(http_exceptions.BadHttpMessage("no end of informational answers"))
            if self.transport is not None:
                self.transport.abort()


def _usable(protocol: ResponseHandler) -> bool:
    """An idle connection is open and holds nothing, neither here nor in the kernel."""
    transport = protocol.transport
    if transport is None or transport.is_closing() or (isinstance(protocol, _Protocol) and protocol.holds_bytes()):
        return False
    return not has_unread(transport)
