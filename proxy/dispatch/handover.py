"""The short way of an answer: whatever one read of an upstream brought is handed on without waking a task, and usually
without troubling aiohttp's parser.

A task that awaits each read costs a future, a wake-up and a walk down its coroutines for every token. This waits in
the place of such a future instead: aiohttp's reader tells its waiter that something has come, and what has come until
the loop gets round to it is handed on in one piece. Where a response comes in chunks, reads of whole chunks do not
even get that far: see ``ShortCut``. Both lean on names that aiohttp keeps to itself, so they are used only where
``FITS`` finds them as expected; without them the plain way gives the same answers.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from proxy.dispatch.chunks import content_of_whole
from proxy.dispatch.slices import SLICE, SlicedHandler

Take = Callable[[bytes], bool]


class Handover:
    """Hands what arrives of ``response`` to ``take`` until that says no, or nothing more comes."""

    __slots__ = ("_coded", "_connection", "_content", "_loop", "_over", "_take")

    def __init__(self, response: aiohttp.ClientResponse, take: Take) -> None:
        self._content: Any = response.content
        self._connection = response.connection
        self._coded = "content-encoding" in response.headers
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()

    async def run(self) -> None:
        """Returns when ``take`` said no, or when there is nothing to wait for: an end, or an error, with what has
        come before it still to be read."""
        content = self._content
        self._arrived()
        short_cut = None if self._over.done() else self._short_cut()
        try:
            await self._over
        finally:
            if short_cut is not None:
                short_cut.leave()
            if content._waiter is self:  # noqa: SLF001
                content._waiter = None  # noqa: SLF001

    def _short_cut(self) -> "ShortCut | None":
        connection = self._connection
        if self._coded or connection is None or connection.transport is None:
            return None
        if not isinstance(connection.protocol, SlicedHandler):
            return None
        return ShortCut(connection.transport, connection.protocol, self._content, self._over, self._take)

    # What the reader calls on a waiter.

    def done(self) -> bool:
        return False

    def set_result(self, _: None) -> None:
        self._loop.call_soon(self._arrived)

    def set_exception(self, _: BaseException) -> None:
        self._loop.call_soon(self._arrived)

    def _arrived(self) -> None:
        content = self._content
        while not (self._over.done() or content.is_eof() or content.exception() is not None):
            if not content._buffer:  # noqa: SLF001
                content._waiter = self  # noqa: SLF001
                return
            try:
                if not self._take(content.read_nowait(SLICE)):
                    break
            except BaseException as error:  # whatever it is, the task that waits deals with it
                _end(self._over, error)
            if content._buffer:  # noqa: SLF001 - more than a slice, or reading itself has brought more, without end
                self._loop.call_soon(self._arrived)  # others have their turn
                return
        _end(self._over)


def _end(over: asyncio.Future[None], error: BaseException | None = None) -> None:
    if over.done():
        return  # the task has given up waiting
    if error is None:
        over.set_result(None)
    else:
        over.set_exception(error)


class ShortCut(asyncio.Protocol):
    """Stands between a connection and aiohttp's protocol, ``behind`` it. A read that is made of whole chunks, and
    begins where one has to, goes straight to ``take``; aiohttp never learns of it and misses nothing, for whole chunks
    leave its parser where it was. Everything else is passed on to aiohttp as it came: chunks that were cut, the last
    one, whatever is wrong, and all that comes once it is ``over``. ``leave`` gives aiohttp its connection back."""

    __slots__ = ("_behind", "_between", "_clear", "_content", "_over", "_take", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        behind: SlicedHandler,
        content: aiohttp.StreamReader,
        over: asyncio.Future[None],
        take: Take,
    ) -> None:
        self._transport = transport
        self._behind = behind
        self._content: Any = content
        self._over = over
        self._take = take
        self._between = False
        """aiohttp's parser is between two chunks."""
        self._clear = False
        """It is, its reader holds nothing that has to go before, and more is wanted."""
        transport.set_protocol(self)

    def leave(self) -> None:
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._behind)

    def data_received(self, data: bytes) -> None:
        if len(data) > SLICE or self._behind.held:
            self._behind.hold(data)
        else:
            self.receive_slice(data)

    def receive_slice(self, data: bytes) -> None:
        if self._clear or (self._between and not self._over.done() and not self._content._buffer):  # noqa: SLF001
            content = content_of_whole(data)
            if content is not None:
                try:
                    self._clear = self._take(content)
                    if not self._clear:
                        _end(self._over)
                except BaseException as error:  # as above
                    self._clear = False
                    _end(self._over, error)
                return
            self._clear = False
        self._behind.receive_slice(data)
        content = self._content
        splits = content._http_chunk_splits  # noqa: SLF001 - where chunks have ended
        at_boundary = bool(splits) and splits[-1] == content.total_bytes and data.endswith(_AFTER_CHUNK)
        self._between = at_boundary and not content.is_eof()  # what follows the last chunk is no part of this answer

    def eof_received(self) -> None:
        self._behind.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        self._behind.resume_writing()


_AFTER_CHUNK = b"\n\r\n"
"""The end of a line and then that of its chunk. The size of a chunk that is still to come never looks like this."""


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
        reader.begin_http_chunk_receiving()
        reader.feed_data(b"x")
        arrived = probe.told == 1 and reader._waiter is None  # noqa: SLF001
        reader.end_http_chunk_receiving()
        arrived = arrived and reader._http_chunk_splits[-1] == reader.total_bytes == 1  # noqa: SLF001
        arrived = arrived and reader.read_nowait() == b"x"
        reader._waiter = probe  # noqa: SLF001
        reader.set_exception(OSError())
        return arrived and probe.told == 2 and reader._waiter is None  # noqa: SLF001
    except (AttributeError, IndexError, RuntimeError, TypeError):
        return False


FITS = _fits()
