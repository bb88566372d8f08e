"""Bodies of requests that do not come, do not end, or are not what they are said to be."""

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from functools import cache

import psutil
import pytest

from tests.faults.hostile.conftest import calm
from tests.faults.hostile.wire import BODY, CHUNKED, chunks, connected, request, send
from tests.support.processes import Proxy

pytestmark = pytest.mark.slow

MB = 2**20
GZIP, DEFLATE = "content-encoding: gzip", "content-encoding: deflate"


@cache
def bomb(wbits: int = zlib.MAX_WBITS + 16) -> bytes:
    """A gigabyte of zeros in a megabyte; what it should end in is left out."""
    packer = zlib.compressobj(9, wbits=wbits)
    first, other = (packer.compress(bytes(MB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + other * 1000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def packed_in(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = gzip.compress(data)
    return data


# What is sent, the statuses that come back, and the code of the last.
BODIES: dict[str, tuple[bytes, list[int], str | None]] = {
    "chunks": (request(CHUNKED, body=chunks(BODY[:9], BODY[9:])), [200], None),
    "chunks with extensions": (request(CHUNKED, body=b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)), [200], None),
    "an extension of 1 MB": (request(CHUNKED, body=b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(BODY), b"a" * MB, BODY)), [200], None),
    "trailers": (request(CHUNKED, body=chunks(BODY)[:-2] + b"correlation-id: other\r\n\r\n"), [200], None),
    "5,000 trailers": (request(CHUNKED, body=chunks(BODY)[:-2] + b"a: b\r\n" * 5000 + b"\r\n"), [400], None),
    "a chunk's size is no number": (request(CHUNKED, body=b"zz\r\nabc\r\n0\r\n\r\n"), [400], None),
    "a chunk's size is beyond all numbers": (request(CHUNKED, body=b"f" * 17 + b"\r\nabc\r\n"), [400], None),
    "a chunk's size is below zero": (request(CHUNKED, body=b"-5\r\nabc\r\n"), [400], None),
    "a chunk longer than its size": (request(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"), [400], None),
    "chunk lines that end in LF": (request(CHUNKED, body=chunks(BODY).replace(b"\r\n", b"\n")), [400], None),
    "gzip": (request(GZIP, body=gzip.compress(BODY)), [200], None),
    "gzip in chunks": (request(GZIP, CHUNKED, body=chunks(gzip.compress(BODY))), [200], None),
    "deflate": (request(DEFLATE, body=zlib.compress(BODY)), [200], None),
    "deflate without its wrapping": (request(DEFLATE, body=raw_deflate(BODY)), [200], None),
    "identity": (request("content-encoding: identity"), [200], None),
    "gzip that is none": (request(GZIP), [400], None),
    "deflate that is none": (request(DEFLATE), [400], None),
    "half of a gzip": (request(GZIP, body=gzip.compress(BODY)[:-10]), [400], None),
    "an empty gzip": (request(GZIP, body=b""), [400], None),
    "something behind a gzip": (request(GZIP, body=gzip.compress(BODY) + b"{}"), [400], None),
    "gzip in gzip": (request("content-encoding: gzip, gzip", body=packed_in(BODY, 2)), [400], None),
    "br": (request("content-encoding: br"), [400], None),
    "zstd": (request("content-encoding: zstd"), [400], None),
    "a coding nobody knows": (request("content-encoding: none-such"), [400], None),
    "a gzip bomb": (request(GZIP, body=bomb()), [413], "request_too_large"),
    "a deflate bomb": (request(DEFLATE, body=bomb(zlib.MAX_WBITS)), [413], "request_too_large"),
    "a gzip bomb in chunks": (request(GZIP, CHUNKED, body=chunks(bomb())), [413], "request_too_large"),
    "a gzip bomb in a gzip": (request(GZIP, body=gzip.compress(bomb())), [400], None),
    "a gzip bomb where no body is read": (request(GZIP, line="GET /v1/models HTTP/1.1", body=bomb()), [200], None),
    "a gzip bomb for another method": (
        request(GZIP, line="POST /v1/models HTTP/1.1", body=bomb()), [405], "method_not_allowed",
    ),
    "11 MB": (request(body=b" " * 11 * MB), [413], "request_too_large"),
    "11 MB in chunks": (request(CHUNKED, body=chunks(*[b" " * MB] * 11)), [413], "request_too_large"),
    "a length of a terabyte": (request("content-length: 1099511627776"), [413], "request_too_large"),
    "a byte order mark": (request(body=b"\xef\xbb\xbf" + BODY), [200], None),
    "UTF-16": (request(body=BODY.decode().encode("utf-16")), [400], None),
    "NUL bytes": (request(body=bytes(1000)), [400], None),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_bodies(quick: Proxy, case: str) -> None:
    """Each is answered at once, at the cost of what it is and not of what it claims to be."""
    data, statuses, code = BODIES[case]
    since = len(quick.lines)
    process = psutil.Process(quick.process.pid)
    spent, memory = sum(process.cpu_times()[:2]), process.memory_info().rss
    told = send(quick, data)
    assert statuses == told.statuses
    if statuses[-1] >= 400:
        assert code == told.error["code"]
    assert sum(process.cpu_times()[:2]) - spent < 0.5
    assert process.memory_info().rss - memory < 64 * MB
    calm(quick, since)


def test_memory_of_many_bombs(quick: Proxy) -> None:
    process = psutil.Process(quick.process.pid)
    data = request(GZIP, body=bomb())
    for _ in range(3):
        send(quick, data)
    before = process.memory_info().rss
    for _ in range(20):
        assert [413] == send(quick, data).statuses
    assert process.memory_info().rss - before < 16 * MB


def dripping(*headers: str) -> Iterator[bytes]:
    yield request(*headers, body=b"")
    while True:
        yield b"1\r\n \r\n" if CHUNKED in headers else b" "


@pytest.mark.parametrize("headers", [("content-length: 5000",), (CHUNKED,), (GZIP, "content-length: 5000")])
def test_a_body_that_drips(quick: Proxy, headers: tuple[str, ...]) -> None:
    since, started = len(quick.lines), time.monotonic()
    with connected(quick) as connection:
        connection.settimeout(0.05)
        got = b""
        for piece in dripping(*headers):
            connection.sendall(piece)
            try:
                got = connection.recv(65536)
                break
            except TimeoutError:
                assert time.monotonic() - started < 5
    assert b" 408 " in got.partition(b"\r\n")[0]
    assert "request_timeout" == json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"]
    calm(quick, since)


@pytest.mark.parametrize("sent", [request("content-length: 5000"), request(CHUNKED, body=b"ff\r\n" + BODY)])
def test_a_caller_that_leaves_in_its_body(quick: Proxy, sent: bytes) -> None:
    since = len(quick.lines)
    told = send(quick, sent, then_close=True)
    assert (True, b"") == (told.closed, told.data)
    calm(quick, since)
    finished = quick.wait_event(event="request.finished", correlation_id="hostile", status=499)
    assert "client_disconnect" == finished["end_reason"]


def test_a_body_behind_its_refusal(quick: Proxy) -> None:
    """A refusal is read even by who is still sending; for that the rest is taken, but not for ever."""
    started = time.monotonic()
    with connected(quick) as connection, pytest.raises(OSError):  # noqa: PT012 - one of them is the first to notice
        connection.sendall(request("content-length: 1099511627776", body=b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
        while time.monotonic() - started < 8:
            connection.sendall(b" " * 1000)
            time.sleep(0.02)
    assert time.monotonic() - started < 4
