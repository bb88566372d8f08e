"""Reads of an upstream's connection in slices, so that one that floods leaves the event loop to the others.

uvloop and asyncio hand over up to 256 KB at once. What comes as many small chunks, events or markers takes long to work
off, and everybody else waits for the whole of it.
"""

import asyncio
from typing import Protocol, cast

from aiohttp.client_proto import ResponseHandler

SLICE = 32 * 1024
"""Bytes of one connection that are worked off in one turn of the event loop, at most."""


class Receiver(Protocol):
    def receive_slice(self, data: bytes) -> None:
        """Take at most ``SLICE`` bytes."""


class SlicedHandler(ResponseHandler):
    """aiohttp's protocol of a client connection. Larger reads are held and passed on one slice a turn, with the
    transport paused meanwhile.

    ``held`` is what was read and not passed on yet. Slices go to the transport's protocol of that moment.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.held = b""
        self._scheduled = False

    @property
    def should_close(self) -> bool:
        return bool(self.held) or super().should_close

    def data_received(self, data: bytes) -> None:
        if data and (self.held or len(data) > SLICE):
            self.hold(data)
        else:  # without data aiohttp goes on with what its parser holds
            super().data_received(data)

    def receive_slice(self, data: bytes) -> None:
        super().data_received(data)

    def hold(self, data: bytes) -> None:
        """Pass ``data`` on in slices, from the next turn on."""
        self.held += data
        self._pause_reading_for_buffer()
        self._schedule()

    def resume_reading(self, resume_parser: bool = True) -> None:
        super().resume_reading(resume_parser)
        self._schedule()

    def eof_received(self) -> None:
        self._flush()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._flush()
        super().connection_lost(exc)

    def _schedule(self) -> None:
        if self.held and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        self._scheduled = False
        transport = self.transport
        if transport is None:
            self.held = b""
        if transport is None or not self.held or self._reading_paused:  # aiohttp's reader is full, and will resume
            return
        data, self.held = self.held[:SLICE], self.held[SLICE:]
        cast(Receiver, transport.get_protocol()).receive_slice(data)
        if self.held:
            self._schedule()
        elif self._buffer_paused:
            self._resume_reading_for_buffer()

    def _flush(self) -> None:
        """Nothing more comes: pass on the rest at once. It is less than one read."""
        data, self.held = self.held, b""
        if data:
            super().data_received(data)
