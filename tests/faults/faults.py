"""The faults, each as the steps that an upstream takes, and what a caller must be told of it."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, cycle

from tests.faults.upstream import Step, Steps
from tests.faults.wire import BODY, EVENTS, JSON, LAST, Wire, chunk, head

TICK_S = 0.01
MOMENT = 0.15  # so that what follows is a read of its own, and no sign of a stale connection
LONG = b"x" * 65_536
PAGE = b"<html>\n\n<body>Under maintenance</body>\n\n</html>\n\n"

TRUNCATED, BROKEN, DISCONNECTED = "upstream_truncated", "upstream_stream_error", "upstream_disconnected"
FIRST, IDLE = "first_token_timeout", "idle_timeout"
_STATUS = {FIRST: 504, IDLE: 504}
_REASON = {TRUNCATED: TRUNCATED, FIRST: FIRST, IDLE: IDLE}


@dataclass(frozen=True, slots=True)
class Fault:
    """``steps`` gives None where the fault has no meaning. ``text`` is what is told before it; without any, the error
    has a real status. No ``code`` is no error: the answer is whole. ``body_code`` is that of an answer in one body,
    whose text is never told; ``again`` says that the caller may repeat."""

    steps: Callable[[Wire], Steps | None]
    code: str | None
    text: str = "abcd"
    body_code: str | None = None
    posts: int = 1
    again: bool = True

    def code_in(self, wire: Wire) -> str | None:
        return self.body_code if wire is BODY and self.body_code else self.code

    def status_in(self, wire: Wire) -> int:
        code = self.code_in(wire)
        return _STATUS.get(code, 502) if code else 200

    def reason_in(self, wire: Wire) -> str:
        code = self.code_in(wire)
        return _REASON.get(code, "upstream_error") if code else "complete"


def forever(*steps: Step) -> Steps:
    return cycle(steps)


def stream_only(steps: Callable[[Wire], Steps]) -> Callable[[Wire], Steps | None]:
    return lambda wire: None if wire is BODY else steps(wire)


def begun(wire: Wire, *more: bytes) -> bytes:
    """The headers and a part of the answer, as one read."""
    return wire.head + chunk(b"".join([wire.part, *more]))


def coded(wire: Wire, coding: str, data: bytes) -> bytes:
    return head(wire.content_type, "200 OK", "transfer-encoding: chunked", f"content-encoding: {coding}") + chunk(data)


def counted(wire: Wire, data: bytes, more: int = 0) -> bytes:
    return head(wire.content_type, "200 OK", f"content-length: {len(data) + more}") + data


def old(wire: Wire, data: bytes) -> bytes:
    return f"HTTP/1.0 200 OK\r\ncontent-type: {wire.content_type}\r\n\r\n".encode() + data


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def half_zipped(wire: Wire) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(wire.part) + packer.flush(zlib.Z_SYNC_FLUSH)


ACCENT = "é".encode()[:1]
BOMB = gzip.compress(bytes(100 * 2**20), 1)

ENDINGS: Mapping[str, Fault] = {
    "no final event": Fault(lambda w: [begun(w) + LAST], TRUNCATED, body_code=BROKEN),
    "an empty answer": Fault(lambda w: [w.head + LAST], TRUNCATED, text="", body_code=BROKEN),
    "closed without the last chunk": Fault(lambda w: [begun(w), "close"], TRUNCATED),
    "closed, a moment later": Fault(lambda w: [begun(w), MOMENT, "close"], TRUNCATED),
    "reset": Fault(lambda w: [begun(w), "reset"], TRUNCATED),
    "reset, a moment later": Fault(lambda w: [begun(w), MOMENT, "reset"], TRUNCATED),
    "half an event": Fault(lambda w: [begun(w, half(w.delta("ef"))) + LAST], TRUNCATED, body_code=BROKEN),
    "half an event, closed": Fault(lambda w: [begun(w, half(w.delta("ef"))), "close"], TRUNCATED),
    "half a character": Fault(lambda w: [begun(w, w.delta("é").partition(ACCENT)[0] + ACCENT) + LAST], TRUNCATED, body_code=BROKEN),
    "half a character, reset": Fault(lambda w: [begun(w, w.delta("é").partition(ACCENT)[0] + ACCENT), "reset"], TRUNCATED),
    "reset behind the end": Fault(lambda w: [begun(w, w.rest), "reset"], None, text="abcdef", body_code=TRUNCATED),
}  # fmt: skip
FRAMING: Mapping[str, Fault] = {
    "a chunk without a length": Fault(lambda w: [w.head, MOMENT, chunk(w.part) + b"zz\r\n", "hold"], TRUNCATED),
    "a chunk without a length, with the headers": Fault(lambda w: [begun(w) + b"zz\r\n", "hold"], BROKEN, text=""),
    "a chunk shorter than it says": Fault(lambda w: [begun(w) + b"fff\r\n" + half(w.delta("ef")), "close"], TRUNCATED),
    "a chunk longer than it says": Fault(lambda w: [w.head, MOMENT, chunk(w.part) + b"5\r\n" + w.rest + b"\r\n", "hold"], TRUNCATED),
    "HTTP/1.0, no final event": Fault(lambda w: [old(w, w.part), "close"], TRUNCATED, body_code=BROKEN),
    "HTTP/1.0, but whole": Fault(lambda w: [old(w, w.part + w.rest), "close"], None, text="abcdef"),
    "less than content-length": Fault(lambda w: [counted(w, w.part, 99), "close"], TRUNCATED),
    "headers without end": Fault(lambda w: chain([b"HTTP/1.1 200 OK\r\n"], forever(b"x-filler: " + LONG[:4000] + b"\r\n")), BROKEN, text=""),
    "a header line without end": Fault(lambda w: chain([b"HTTP/1.1 200 OK\r\nx-filler: "], forever(LONG)), BROKEN, text=""),
    "no HTTP": Fault(lambda w: [b"220 smtp.example.com ESMTP\r\n", "hold"], BROKEN, text=""),
    "closed before the status line": Fault(lambda w: [MOMENT, "close"], DISCONNECTED, text=""),
    "reset before the status line": Fault(lambda w: [MOMENT, "reset"], DISCONNECTED, text=""),
    "closed within the headers": Fault(lambda w: [half(w.head), "close"], DISCONNECTED, text=""),
}  # fmt: skip
CONTENTS: Mapping[str, Fault] = {
    "an error inside": Fault(stream_only(lambda w: [begun(w, w.error), "hold"]), BROKEN),
    "an error first": Fault(lambda w: [w.head + chunk(w.error) + LAST], BROKEN, text=""),
    "compressed, though it was not asked for": Fault(lambda w: [coded(w, "gzip", gzip.compress(w.part + w.rest)) + LAST], None, text="abcdef"),
    "compressed, and broken off": Fault(lambda w: [coded(w, "gzip", half_zipped(w)), "close"], TRUNCATED),
    "called gzip, but is none": Fault(lambda w: [coded(w, "gzip", w.part + w.rest) + LAST], BROKEN, text=""),
    "a coding that nobody knows": Fault(lambda w: [coded(w, "br", w.part + w.rest) + LAST], BROKEN, text=""),
    "a gzip bomb": Fault(lambda w: [coded(w, "gzip", BOMB) + LAST], BROKEN, text=""),
    "an HTML page": Fault(lambda w: [head("text/html") + chunk(PAGE) + LAST], TRUNCATED, text="", body_code=BROKEN),
    "JSON in place of events": Fault(stream_only(lambda w: [head(JSON) + chunk(b'{"message": "Hello"}') + LAST]), TRUNCATED, text=""),
    "another content type": Fault(lambda w: [head("text/plain") + chunk(w.part + w.rest) + LAST], None, text="abcdef"),
    "events in place of JSON": Fault(lambda w: [head(EVENTS) + chunk(b"data: {}\n\n") + LAST] if w is BODY else None, BROKEN, text=""),
}  # fmt: skip
SILENCE: Mapping[str, Fault] = {
    "silence before the status line": Fault(lambda w: ["hold"], FIRST, text=""),
    "silence before the first event": Fault(lambda w: [w.head, "hold"], FIRST, text=""),
    "silence in the middle": Fault(lambda w: [begun(w), "hold"], IDLE),
    "nothing but empty deltas": Fault(stream_only(lambda w: chain([w.head], forever(chunk(w.delta("")), TICK_S))), FIRST, text=""),
    "nothing but comments": Fault(stream_only(lambda w: chain([w.head], forever(chunk(b": ping\n\n"), TICK_S))), FIRST, text=""),
    "empty deltas behind the text": Fault(stream_only(lambda w: chain([begun(w)], forever(chunk(w.delta("")), TICK_S))), IDLE),
}  # fmt: skip
ENDLESS: Mapping[str, Fault] = {
    "a line without end": Fault(lambda w: chain([w.head + chunk(b"data: ")], forever(chunk(LONG))), BROKEN, text=""),
    "a line without end behind the text": Fault(stream_only(lambda w: chain([begun(w, b"data: ")], forever(chunk(LONG)))), BROKEN),
    "data: lines without a blank line": Fault(stream_only(lambda w: chain([begun(w)], forever(chunk((b"data: " + LONG[:500] + b"\n") * 100)))), BROKEN),
    "it goes on after its end": Fault(stream_only(lambda w: chain([begun(w, w.rest)], forever(chunk(w.delta("more")), 0.001))), None, text="abcdef"),
    "it goes on after its length": Fault(lambda w: chain([counted(w, w.part + w.rest), MOMENT], forever(LONG)), None, text="abcdef"),
    "no end of HTTP behind its end": Fault(stream_only(lambda w: [begun(w, w.rest), "hold"]), None, text="abcdef"),
}  # fmt: skip
FAULTS: Mapping[str, Fault] = {**ENDINGS, **FRAMING, **CONTENTS, **SILENCE, **ENDLESS}
