"""The caller's end of a stream, close to the socket: it counts what comes and takes the time, and parses nothing."""

import asyncio
import time
from array import array
from itertools import count
from typing import cast

import msgspec

from tests.bench.wire import LAST_CHUNK, MARK, Target

TAIL = 48  # bytes of the last read to look at again, since a frame may be cut; longer than any ending
OK = b"HTTP/1.1 200 "

_ids = count(1)


def next_id() -> str:
    """A correlation id that was not used before."""
    return f"bench-{next(_ids)}"


class Answer(msgspec.Struct):
    """One stream, ended. ``first_token`` in seconds since the request; ``problem`` is empty for a whole answer."""

    tokens: int
    first_token: float
    problem: str


class Tally:
    """What all connections of a run have seen so far: ``gaps`` are the seconds between reads of one stream with tokens
    in them, ``silence`` the longest time without one on any stream, ``heard`` the time of the last."""

    def __init__(self) -> None:
        self.tokens = 0
        self.frames = 0
        self.gaps = array("d")
        self.silence = 0.0
        self.heard = 0.0
        self.answers: list[Answer] = []


class Connection(asyncio.Protocol):
    """One keep-alive connection to a server, one answer at a time."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._dialect = target.dialect
        self._tally = tally
        self._answer: asyncio.Future[Answer] | None = None
        self.speaking = asyncio.Event()  # the first token is there, or never comes
        self.kept: list[bytes] | None = None

    @classmethod
    async def open(cls, target: Target, tally: Tally) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(target, tally), "127.0.0.1", target.port)
        return connection

    def ask(self) -> asyncio.Future[Answer]:
        """Sends a request; the future is done when its answer has ended, one way or another."""
        request = self._target.request(next_id())
        self.speaking.clear()
        self.tokens = 0
        self._tail = b""
        self._first = self._last = 0.0
        self._answer = asyncio.get_running_loop().create_future()
        self._asked = time.monotonic()
        if self._transport.is_closing():
            self._end("the connection was closed after an answer")
        else:
            self._transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self._tail and not data.startswith(OK):
            self._end(f"answered with {data[:300]!r}")
            self._transport.close()
            return
        if self.kept is not None:
            self.kept.append(data)
        tally = self._tally
        if tokens := data.count(MARK):
            if self.tokens:
                tally.gaps.append(now - self._last)
            else:
                self._first = now - self._asked
                self.speaking.set()
            self._last = now
            if (silence := now - tally.heard) > tally.silence:
                tally.silence = silence
            tally.heard = now
            self.tokens += tokens
            tally.tokens += tokens
        seen, frame = self._tail + data, self._dialect.frame
        tally.frames += seen.count(frame) - self._tail.count(frame)
        self._tail = seen[-TAIL:]
        if seen.endswith(LAST_CHUNK):
            self._end("" if seen.endswith(self._dialect.ending) else f"ended with {seen[-TAIL:]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was lost: {exc or 'closed by the server'}")

    @property
    def silent_s(self) -> float:
        """How long it has waited for the next token of an answer that has not ended."""
        waiting = self._answer is not None and not self._answer.done() and self.tokens
        return time.monotonic() - self._last if waiting else 0.0

    def abort(self) -> None:
        """Ends what is under way, without an account of it."""
        if self._answer is not None:
            self._answer.cancel()
        self._transport.abort()

    def _end(self, problem: str) -> None:
        if self._answer is None or self._answer.done():
            return
        if not problem and self.tokens != self._target.tokens:
            problem = f"{self.tokens} tokens instead of {self._target.tokens}"
        self.speaking.set()
        answer = Answer(self.tokens, self._first, problem)
        self._tally.answers.append(answer)
        self._answer.set_result(answer)
