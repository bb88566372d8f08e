"""StackSpot's login and agent chat and OpenAI's Chat Completions, close to the socket and with bytes made beforehand,
so that it costs little next to the server under test. The agent's id says how it answers: ``paced-500``, ``burst-256``.

Bounded by its callers: a burst is a few kilobytes, and the next one begins only when it was asked for.
"""

import asyncio
import re
import sys
import time
from typing import cast

import uvloop

from tests.bench.stream import OPENAI, STACKSPOT, Stream
from tests.bench.wire import BURST, PACED, SLOW, SLOW_TOKEN_EVERY_S, STAMP, TOKEN_EVERY_S

SLOT_S = 0.001
EVENTS_PER_WRITE = 256

_MODEL = re.compile(rb'"model"\s*:\s*"([a-z]+-\d+)"')


def whole(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_LOGIN = whole("200 OK", b'{"access_token":"the-token","expires_in":1199,"token_type":"Bearer"}')
_NOT_FOUND = whole("404 Not Found", b'{"type":"error","code":"NOT_FOUND","details":"no such route"}')
_HEALTHY = whole("200 OK", b"{}")


class PacedStream:
    """One answer, a token at every ``step``."""

    def __init__(self, transport: asyncio.Transport, stream: Stream, tokens: int) -> None:
        self._transport = transport
        self._stream = stream
        self._tokens = tokens
        self._sent = 0

    def step(self) -> bool:
        """Sends a token; false when it was the last, or nobody is there any more."""
        if self._transport.is_closing():
            return False
        single = self._stream.single
        token = single[self._sent % len(single)]
        self._sent += 1
        if self._sent < self._tokens:
            self._transport.write(token)
            return True
        self._transport.write(token + self._stream.ending(self._tokens))
        return False


class Pacer:
    """One timer for all paced streams: a wheel of slots a millisecond apart, over which the streams are spread so
    that their tokens do not come all at once."""

    def __init__(self, every_s: float) -> None:
        self._slots: list[list[PacedStream]] = [[] for _ in range(round(every_s / SLOT_S))]
        self._added = 0
        self._turned = 0
        self._started = 0.0
        self._turning = False

    def add(self, stream: PacedStream) -> None:
        self._slots[self._added % len(self._slots)].append(stream)
        self._added += 1
        if not self._turning:
            self._turning = True
            self._turned, self._started = 0, time.monotonic()
            self._turn()

    def _turn(self) -> None:
        due = int((time.monotonic() - self._started) / SLOT_S)
        while self._turned < due:
            slot = self._slots[self._turned % len(self._slots)]
            if slot:
                slot[:] = [stream for stream in slot if stream.step()]
            self._turned += 1
        self._turning = any(self._slots)
        if self._turning:
            asyncio.get_running_loop().call_later(SLOT_S, self._turn)


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, pacers: dict[str, Pacer]) -> None:
        self._pacers = pacers
        self._received = bytearray()
        self._due = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received
        if not received:
            self._began = time.monotonic()
        received += data
        if not self._due:
            self._due = self._length()
        if self._due and len(received) >= self._due:
            request = bytes(received)
            received.clear()
            self._due = 0
            self._answer(request)

    def _length(self) -> int:
        """That of the request, once its head is there."""
        blank = self._received.find(b"\r\n\r\n")
        if blank < 0:
            return 0
        _, _, length = bytes(self._received[:blank]).lower().partition(b"\r\ncontent-length:")
        return blank + 4 + int(length.partition(b"\r\n")[0] or b"0")

    def _answer(self, request: bytes) -> None:
        match request.split(b" ", 2)[1].decode().strip("/").split("/"):
            case [_, "oidc", "oauth", "token"]:
                self._transport.write(_LOGIN)
            case ["v1", "agent", agent, "chat"]:
                self._stream(STACKSPOT, agent)
            case [*_, "chat", "completions"] if model := _MODEL.search(request):
                self._stream(OPENAI, model[1].decode())
            case ["health"]:
                self._transport.write(_HEALTHY)
            case _:
                self._transport.write(_NOT_FOUND)

    def _stream(self, stream: Stream, agent: str) -> None:
        kind, _, tokens = agent.partition("-")
        if kind in self._pacers:
            self._transport.write(stream.head)
            self._pacers[kind].add(PacedStream(self._transport, stream, int(tokens)))
        elif kind == STAMP:
            self._transport.write(stream.head + stream.stamped(self._began) + stream.ending(int(tokens)))
        elif kind == BURST:
            self._burst(stream, 0, int(tokens), stream.head)
        else:
            self._transport.write(_NOT_FOUND)

    def _burst(self, stream: Stream, sent: int, tokens: int, head: bytes = b"") -> None:
        """A write each turn of the loop, many tokens a write."""
        upto = min(sent + EVENTS_PER_WRITE, tokens)
        if upto < tokens:
            self._transport.write(head + stream.batch(sent, upto))
            asyncio.get_running_loop().call_soon(self._burst, stream, upto, tokens)
        else:
            self._transport.write(head + stream.batch(sent, upto) + stream.ending(tokens))


async def main(port: int) -> None:
    pacers = {PACED: Pacer(TOKEN_EVERY_S), SLOW: Pacer(SLOW_TOKEN_EVERY_S)}
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pacers), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
