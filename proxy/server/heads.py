"""Limits on the heads of requests that aiohttp's parser lacks."""

from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import HttpVersion11, StreamReader
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import RawRequestMessage

HEAD_LIMIT = 64 * 1024
"""Bytes of a request line and its header fields together."""

Message = tuple[RawRequestMessage, StreamReader]
Parsed = tuple[Sequence[Message], bool, bytes]
"""The requests that were completed, whether the protocol was switched, and what follows then."""

_NOTHING: Parsed = ((), False, b"")


class Parser(Protocol):
    """What a connection asks of aiohttp's parser of requests."""

    def feed_data(self, data: bytes) -> Parsed: ...
    def feed_eof(self) -> Any: ...
    def message_consumed(self) -> None: ...
    def pause_reading(self) -> None: ...
    def set_upgraded(self, value: bool) -> None: ...


class BoundedParser:
    """A parser that refuses heads over ``HEAD_LIMIT``, and every transfer coding but chunked on HTTP/1.1.

    A head that is not complete is refused at the first read that takes it over the limit. RFC 9112, 6.1: a coding that
    the server does not know leaves the end of the body unknown, and an HTTP/1.0 intermediary may have forwarded a
    ``Transfer-Encoding`` that it did not understand. After a refusal nothing more is parsed.
    """

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._body: StreamReader | None = None
        self._incomplete = 0
        """Bytes of reads that ended within a head."""
        self._refused = False
        self.feed_eof = parser.feed_eof
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> Parsed:
        """Parse one read. Raises ``BadHttpMessage``, which aiohttp answers with 400."""
        if self._refused:
            return _NOTHING
        in_head = self._body is None or self._body.is_eof()
        parsed = self._parser.feed_data(data)
        messages = parsed[0]
        try:
            for message, _ in messages:
                _check(message)
            if messages:
                self._body = messages[-1][1]
                self._incomplete = 0
            elif in_head:
                self._incomplete += len(data)
                _limit(self._incomplete)
        except BadHttpMessage:
            self._refused = True
            raise
        return parsed


def _check(message: RawRequestMessage) -> None:
    fields = sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    _limit(len(message.method) + len(message.path) + fields)
    coding = message.headers.get("transfer-encoding")
    if coding is None:
        return
    if message.version < HttpVersion11:
        raise BadHttpMessage("Transfer-Encoding needs HTTP/1.1")
    if not coding.isascii() or coding.strip(" \t").lower() != "chunked":
        raise BadHttpMessage("the only Transfer-Encoding known here is chunked")


def _limit(size: int) -> None:
    if size > HEAD_LIMIT:
        raise BadHttpMessage(f"its head is larger than {HEAD_LIMIT // 1024} KB")
