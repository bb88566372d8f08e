"""A TCP proxy that spoils what passes through it, with toxiproxy's words for how: between the proxy and its upstream, or
between a caller and the proxy."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Literal

Source = AsyncIterator[bytes]
Toxic = Callable[[Source], Source]
Direction = Literal["up", "down"]
"""``up`` is towards the server, ``down`` towards the client."""
READ = 65_536


class Cut(Exception):
    """The connection is closed on both sides."""


class Reset(Exception):
    """The connection is reset on both sides."""


def latency(seconds: float) -> Toxic:
    """Everything arrives later."""

    async def toxic(source: Source) -> Source:
        async for data in source:
            await asyncio.sleep(seconds)
            yield data

    return toxic


def bandwidth(rate: int) -> Toxic:
    """At most ``rate`` bytes a second."""

    async def toxic(source: Source) -> Source:
        piece = max(1, rate // 50)
        async for data in source:
            for at in range(0, len(data), piece):
                yield data[at : at + piece]
                await asyncio.sleep(len(data[at : at + piece]) / rate)

    return toxic


def slicer(size: int, delay: float) -> Toxic:
    """In slices of so many bytes, with a delay between them."""

    async def toxic(source: Source) -> Source:
        async for data in source:
            for at in range(0, len(data), size):
                yield data[at : at + size]
                await asyncio.sleep(delay)

    return toxic


def limit_data(count: int) -> Toxic:
    """Closes the connection behind so many bytes."""

    async def toxic(source: Source) -> Source:
        left = count
        async for data in source:
            yield data[:left]
            left -= len(data)
            if left <= 0:
                raise Cut

    return toxic


def timeout(seconds: float) -> Toxic:
    """Lets nothing through, and closes the connection after so long."""

    async def toxic(source: Source) -> Source:
        await asyncio.sleep(seconds)
        raise Cut
        yield b""  # makes it a generator

    return toxic


def slow_close(seconds: float) -> Toxic:
    """Holds the end back."""

    async def toxic(source: Source) -> Source:
        async for data in source:
            yield data
        await asyncio.sleep(seconds)

    return toxic


def reset_peer(seconds: float) -> Toxic:
    """Resets the connection after so long."""

    async def toxic(source: Source) -> Source:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while True:
            try:
                async with asyncio.timeout_at(ends):
                    data = await anext(source, b"")
            except TimeoutError:
                raise Reset from None
            if not data:
                return
            yield data

    return toxic


class Link:
    """Passes connections on to ``target``."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = host, int(port)
        self._toxics: Sequence[tuple[Direction, Toxic]] = ()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop
        self.url = ""

    @property
    def open(self) -> int:
        return len(self._connections)

    def spoil(self, *toxics: tuple[Direction, Toxic]) -> None:
        """Spoils all connections from now on; those that are there are closed. Without toxics it mends them."""
        self._toxics = toxics
        for connection in list(self._connections):
            self._loop.call_soon_threadsafe(connection.cancel)
        while self._connections:
            time.sleep(0.005)

    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready()
        await stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            there, onwards = await asyncio.open_connection(*self._target)
            with suppress(asyncio.CancelledError):
                await self._both((reader, onwards), (there, writer))
            onwards.close()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def _both(
        self,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        ways: tuple[tuple[Direction, asyncio.StreamReader, asyncio.StreamWriter], ...] = (("up", *up), ("down", *down))
        tasks = [
            asyncio.create_task(_pass([toxic for where, toxic in self._toxics if where == way], reader, writer))
            for way, reader, writer in ways
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if any(task.done() and isinstance(task.exception(), Reset) for task in tasks):
                for _, _, writer in ways:
                    _reset(writer)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(toxics: Sequence[Toxic], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    source = _read(reader)
    for toxic in toxics:
        source = toxic(source)
    async for data in source:
        writer.write(data)
        await writer.drain()
    writer.close()


async def _read(reader: asyncio.StreamReader) -> Source:
    with suppress(ConnectionError):
        while data := await reader.read(READ):
            yield data


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):  # it is closed already
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
