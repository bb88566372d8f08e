"""An upstream whose every byte is given, on raw sockets: no HTTP library stands between a fault and the proxy."""

import asyncio
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

import orjson

Step = bytes | float | Literal["close", "reset", "hold"]
"""Bytes are sent, a float is so many seconds of silence. ``close`` and ``reset`` end the connection, ``hold`` keeps it
open without a word until the other side leaves. Behind the last step the next request is waited for."""
Steps = Iterable[Step]
End = Literal["answered", "hung up", "left"]

TOKEN = orjson.dumps({"access_token": "a-token", "expires_in": 1199})
LOGGED_IN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(TOKEN) + TOKEN
KEPT = 10_000
HEAD_LIMIT = 2**20
WRITES_PER_TURN = 16


@dataclass(slots=True)
class Exchange:
    """One request that was to be answered; ``left`` is an end by the proxy. Times are monotonic."""

    path: str
    correlation_id: str
    headers: dict[str, str]
    body: bytes
    sent: int = 0
    end: End | None = None
    ended: float = 0.0


Answer = Callable[[Exchange], Steps]


class _Reader(asyncio.StreamReader):
    """Knows that the other side has left without having to be read from."""

    def __init__(self) -> None:
        super().__init__(limit=HEAD_LIMIT)
        self.left = asyncio.Event()

    def feed_eof(self) -> None:
        self.left.set()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self.left.set()
        super().set_exception(exc)


@dataclass(eq=False)
class Upstream:
    """Takes logins, and answers every other request with what ``answer`` says. ``sndbuf`` is the size of the kernel's
    buffer for what is sent."""

    answer: Answer
    sndbuf: int | None = None
    open: int = 0
    """The connections of now."""
    posts: int = 0
    ends: Counter[End] = field(default_factory=Counter)
    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=KEPT))
    url: str = ""

    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        if self.sndbuf is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.sndbuf)  # those accepted inherit it
        server = await asyncio.get_running_loop().create_server(self._protocol, sock=listening)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        ready()
        await stop.wait()
        server.close()

    def of(self, correlation_id: str) -> list[Exchange]:
        return [exchange for exchange in list(self.exchanges) if exchange.correlation_id == correlation_id]

    def posts_of(self, correlation_id: str) -> int:
        return len(self.of(correlation_id))

    def wait_over(self, correlation_id: str, seconds: float) -> list[Exchange]:
        """The exchanges with this correlation id, once all have ended."""
        deadline = time.monotonic() + seconds
        while any(exchange.end is None for exchange in self.of(correlation_id)):
            assert time.monotonic() < deadline, f"still open after {seconds} s: {self.of(correlation_id)}"
            time.sleep(0.005)
        return self.of(correlation_id)

    def _protocol(self) -> asyncio.Protocol:
        reader = _Reader()

        async def connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.open += 1
            try:
                while await self._exchange(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
                self.open -= 1

        return asyncio.StreamReaderProtocol(reader, connection)

    async def _exchange(self, reader: _Reader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = first.split(" ")[1]
        if path.endswith("/oidc/oauth/token"):
            writer.write(LOGGED_IN)
            return True
        exchange = Exchange(path, headers.get("correlation-id", ""), headers, body)
        self.posts += 1
        self.exchanges.append(exchange)
        answering = asyncio.create_task(self._send(exchange, writer))
        leaving = asyncio.create_task(reader.left.wait())
        try:
            await asyncio.wait([leaving, answering], return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.wait([leaving, answering])
        exchange.end, exchange.ended = _end_of(answering), time.monotonic()
        self.ends[exchange.end] += 1
        return exchange.end == "answered"

    async def _send(self, exchange: Exchange, writer: asyncio.StreamWriter) -> End:
        if self.sndbuf is not None:
            writer.transport.set_write_buffer_limits(0)
        for number, step in enumerate(self.answer(exchange), 1):
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
                exchange.sent += len(step)
                if number % WRITES_PER_TURN == 0:
                    await asyncio.sleep(0)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif step == "hold":
                await asyncio.Event().wait()
            else:
                if step == "reset":  # closing with a linger time of zero sends RST in place of FIN
                    at_once = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                    writer.transport.abort()
                return "hung up"
        return "answered"


def _end_of(answering: asyncio.Task[End]) -> End:
    if answering.cancelled() or isinstance(answering.exception(), ConnectionError):
        return "left"
    return answering.result()


class Server(Protocol):
    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None: ...


class Beside:
    """A server beside the test, on a thread and a loop of its own, while the context lasts."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._server.serve(lambda: self._ready.set_result(None), self._stop)
