"""An answer of the bench's upstream as bytes, made beforehand, in either dialect."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle, islice

import orjson

from tests.bench.wire import LAST_CHUNK, MARK, MESSAGE_ID, WORDS

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_CHUNK = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "bench"}


def _event(message: object) -> bytes:
    return b"data: " + orjson.dumps(message) + b"\n\n"


def _framed(data: bytes) -> bytes:
    """As one chunk of a chunked response."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Stream:
    """One dialect's: ``head`` is that of the response, ``single`` are the tokens, one in a chunk each."""

    head = _HEAD

    def __init__(self, events: Sequence[bytes]) -> None:
        self._events = events
        self.single = [_framed(event) for event in events]

    @lru_cache(maxsize=4096)  # noqa: B019 - both instances live as long as the process
    def batch(self, start: int, stop: int) -> bytes:
        """The tokens from ``start`` to ``stop`` as one chunk."""
        return _framed(b"".join(islice(cycle(self._events), start, stop)))

    @lru_cache(maxsize=4096)  # noqa: B019
    def ending(self, tokens: int) -> bytes:
        """What follows the last token, up to the end of the response."""
        return _framed(self.last(tokens)).removesuffix(b"\r\n") + LAST_CHUNK

    def recorded(self, tokens: int) -> bytes:
        """The whole answer as a server keeps it in a file: no head, no chunks."""
        return b"".join(islice(cycle(self._events), tokens)) + self.last(tokens)

    def stamped(self, at: float) -> bytes:
        """A token that tells a time."""
        return _framed(self.event(f"{MARK.decode()} {at:.6f}"))

    def event(self, text: str) -> bytes:
        raise NotImplementedError

    def last(self, tokens: int) -> bytes:
        """The events behind the last token."""
        raise NotImplementedError


class _StackSpot(Stream):
    def __init__(self) -> None:
        super().__init__([self.event(word) for word in WORDS])

    def event(self, text: str) -> bytes:
        return _event({"message": text})

    def last(self, tokens: int) -> bytes:
        count = {"input": 12, "output": tokens}
        return _event({"message": "", "stop_reason": "stop", "tokens": count, "message_id": MESSAGE_ID})


class _OpenAI(Stream):
    def __init__(self) -> None:
        super().__init__([self.event(word) for word in WORDS])

    def event(self, text: str) -> bytes:
        return _event(_CHUNK | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    def last(self, tokens: int) -> bytes:
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        return _event(_CHUNK | end) + b"data: [DONE]\n\n"


STACKSPOT, OPENAI = _StackSpot(), _OpenAI()
