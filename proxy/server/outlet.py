"""The caller's end of an answer."""

import asyncio
import time
from collections.abc import Mapping

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from proxy.server.batch import Batch
from proxy.server.connection import Connection
from proxy.telemetry.record import Record

KEEPALIVE = b": keepalive\n\n"


class Outlet:
    """A response whose headers go out with its first bytes, so that a failure before them can still be told
    with a real status.

    ``writing`` is true while a write waits for the caller to read, and stays so when that wait is given up;
    ``opened`` once the headers are out.
    """

    __slots__ = (
        "_batch",
        "_connection",
        "_record",
        "_request",
        "_transport",
        "_writer",
        "response",
        "writing",
    )

    def __init__(self, request: web.Request, record: Record, response: web.StreamResponse, batch: Batch) -> None:
        self.writing = False
        self._batch = batch
        self.response = response
        self._writer: AbstractStreamWriter | None = None
        self._transport: asyncio.Transport | None = None
        assert isinstance(request.protocol, Connection), "it is made for no others"
        self._connection = request.protocol
        self._request = request
        self._record = record

    def label(self, headers: Mapping[str, str]) -> None:
        """Sets headers, and removes those given as empty, while that can still be done."""
        if not self.opened:
            for name, value in headers.items():
                if value:
                    self.response.headers[name] = value
                else:
                    self.response.headers.popall(name, None)

    @property
    def opened(self) -> bool:
        return self.response.prepared

    def taken(self) -> tuple[int, int]:
        """As ``Connection.taken``."""
        return self._connection.taken()

    async def open(self) -> AbstractStreamWriter:
        if self._writer is None:
            if self._request.version < HttpVersion11 and not isinstance(self.response, web.Response):
                self.response.force_close()  # the end of the connection is the only end that such a caller can see
            self._writer = await self.response.prepare(self._request)
            assert self._writer is not None, "a response is prepared for one request"
            if self.response.headers.get("transfer-encoding") == "chunked":
                self._transport = self._request.transport
                self._connection.half_close.comment = self._comment
        return self._writer

    async def commit(self) -> None:
        """Sends the headers, though there is nothing else to be sent yet."""
        (await self.open()).send_headers()

    def send(self, data: bytes) -> bool:
        """Sends whole messages past aiohttp's writer, which has to be awaited, if the headers are out and the caller
        keeps up."""
        transport = self._transport
        if transport is None or self._connection.behind or transport.is_closing():
            return False
        self._record.sent += len(data)
        self._batch.write(transport, data)
        return True

    async def write(self, data: bytes) -> None:
        """Sends whole messages; returns when the caller keeps up."""
        record = self._record
        if record.first_write is None:
            record.first_write = time.monotonic()
        writer = self._writer or await self.open()
        record.sent += len(data)
        self._batch.flush()
        self.writing = True
        await writer.write(data)
        await writer.drain()  # it would not by itself: it does not know what was sent past it
        self.writing = False

    async def keepalive(self) -> None:
        """A comment that no client takes for an event; skipped while the caller does not read, so that it never
        waits."""
        if not (self.writing or self._connection.behind):
            self._batch.flush()
            await (await self.open()).write(KEEPALIVE)

    def _comment(self) -> None:
        if self._writer is not None and not self.writing:
            self._writer.send_headers()
            self.send(KEEPALIVE)

    def abort(self) -> None:
        """Drops the connection, with whatever the caller has not read."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def close(self) -> None:
        """Ends the response; returns when all of it was taken."""
        await self.open()
        self._batch.flush()
        self._connection.half_close.comment = None
        self.writing = True
        await self.response.write_eof()
        self.writing = False
