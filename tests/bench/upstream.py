"""StackSpot's login and agent chat, close to the socket and with bytes made beforehand, so that it costs little next
to the server under test. The agent's id says how it answers: ``paced-500`` or ``burst-256``.

Bounded by its callers: a burst is a few kilobytes, and the next one begins only when it was asked for.
"""

import asyncio
import time
from functools import lru_cache
from itertools import cycle, islice
from typing import cast

import orjson
import uvloop

from tests.bench.wire import LAST_CHUNK, MESSAGE_ID, TOKEN_EVERY_S, WORDS

SLOT_S = 0.001
SLOTS = round(TOKEN_EVERY_S / SLOT_S)
EVENTS_PER_WRITE = 32

_EVENTS = [b"data: " + orjson.dumps({"message": word}) + b"\n\n" for word in WORDS]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@lru_cache
def _ending(tokens: int) -> bytes:
    final = {
        "message": "",
        "stop_reason": "stop",
        "tokens": {"input": 12, "output": tokens},
        "message_id": MESSAGE_ID,
    }
    return _chunk(b"data: " + orjson.dumps(final) + b"\n\n").removesuffix(b"\r\n") + LAST_CHUNK


@lru_cache(maxsize=4096)
def _batch(start: int, stop: int) -> bytes:
    """The tokens from ``start`` to ``stop`` as one chunk."""
    return _chunk(b"".join(islice(cycle(_EVENTS), start, stop)))


_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_SINGLE = [_chunk(event) for event in _EVENTS]
_LOGIN = _whole("200 OK", b'{"access_token":"the-token","expires_in":1199,"token_type":"Bearer"}')
_NOT_FOUND = _whole("404 Not Found", b'{"type":"error","code":"NOT_FOUND","details":"no such route"}')


class PacedStream:
    """One answer, a token at every ``step``."""

    def __init__(self, transport: asyncio.Transport, tokens: int) -> None:
        self._transport = transport
        self._tokens = tokens
        self._sent = 0

    def step(self) -> bool:
        """Sends a token; false when it was the last, or nobody is there any more."""
        if self._transport.is_closing():
            return False
        token = _SINGLE[self._sent % len(_SINGLE)]
        self._sent += 1
        if self._sent < self._tokens:
            self._transport.write(token)
            return True
        self._transport.write(token + _ending(self._tokens))
        return False


class Pacer:
    """One timer for all paced streams: a wheel of slots a millisecond apart, over which the streams are spread so
    that their tokens do not come all at once."""

    def __init__(self) -> None:
        self._slots: list[list[PacedStream]] = [[] for _ in range(SLOTS)]
        self._added = 0
        self._turned = 0
        self._started = 0.0
        self._turning = False

    def add(self, stream: PacedStream) -> None:
        self._slots[self._added % SLOTS].append(stream)
        self._added += 1
        if not self._turning:
            self._turning = True
            self._turned, self._started = 0, time.monotonic()
            self._turn()

    def _turn(self) -> None:
        due = int((time.monotonic() - self._started) / SLOT_S)
        while self._turned < due:
            slot = self._slots[self._turned % SLOTS]
            if slot:
                slot[:] = [stream for stream in slot if stream.step()]
            self._turned += 1
        self._turning = any(self._slots)
        if self._turning:
            asyncio.get_running_loop().call_later(SLOT_S, self._turn)


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        _, named, length = head.lower().partition(b"\r\ncontent-length:")
        if not named:
            self._transport.write(_whole("411 Length Required", b"{}"))
            self._transport.close()
        elif len(body) >= int(length.partition(b"\r\n")[0]):
            self._received = b""
            self._answer(head.split(b" ", 2)[1].decode())

    def _answer(self, path: str) -> None:
        match path.strip("/").split("/"):
            case [_, "oidc", "oauth", "token"]:
                self._transport.write(_LOGIN)
            case ["v1", "agent", agent, "chat"] if agent.startswith(("paced-", "burst-")):
                kind, _, tokens = agent.partition("-")
                self._transport.write(_HEAD)
                if kind == "paced":
                    self._pacer.add(PacedStream(self._transport, int(tokens)))
                else:
                    self._burst(0, int(tokens))
            case _:
                self._transport.write(_NOT_FOUND)

    def _burst(self, sent: int, tokens: int) -> None:
        """A write each turn of the loop, several tokens a write."""
        upto = min(sent + EVENTS_PER_WRITE, tokens)
        if upto < tokens:
            self._transport.write(_batch(sent, upto))
            asyncio.get_running_loop().call_soon(self._burst, upto, tokens)
        else:
            self._transport.write(_batch(sent, upto) + _ending(tokens))


async def main() -> None:
    pacer = Pacer()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pacer), "127.0.0.1", 0, backlog=1024)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
