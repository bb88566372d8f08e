"""Heads of requests that are wrong, oversized or never end: each is refused in the usual form, or closed in time."""

import time
from contextlib import ExitStack

import psutil
import pytest

from tests.faults.hostile.conftest import calm, logged
from tests.faults.hostile.wire import BODY, CHUNKED, STREAM, chunks, connected, request, send
from tests.support.processes import Proxy, StandIn

pytestmark = pytest.mark.slow

MODELS = "GET /v1/models HTTP/1.1"

NO_HTTP = {
    "a length and chunks": request(CHUNKED, f"content-length: {len(BODY)}", body=chunks(BODY)),
    "chunks and a length": request("content-length: 5", CHUNKED, body=chunks(BODY)),
    "two lengths": request("content-length: 5", "content-length: 6"),
    "the same length twice": request(f"content-length: {len(BODY)}", f"content-length: {len(BODY)}"),
    "a list of lengths": request("content-length: 5, 5"),
    "a length below zero": request("content-length: -5"),
    "a length with a sign": request("content-length: +5"),
    "a length in hex": request("content-length: 0x10"),
    "a length beyond all numbers": request("content-length: 99999999999999999999999"),
    "a coding that is not chunked": request("transfer-encoding: xchunked", body=chunks(BODY)),
    "chunked twice": request(CHUNKED, CHUNKED, body=chunks(BODY)),
    "chunked twice in one header": request("transfer-encoding: chunked, chunked", body=chunks(chunks(BODY))),
    "identity, chunked": request("transfer-encoding: identity, chunked", body=chunks(BODY)),
    "gzip, chunked": request("transfer-encoding: gzip, chunked", body=chunks(BODY)),
    "chunked, identity": request("transfer-encoding: chunked, identity", body=chunks(BODY)),
    "a comma before chunked": request("transfer-encoding: , chunked", body=chunks(BODY)),
    "chunked with a parameter": request("transfer-encoding: chunked;a=b", body=chunks(BODY)),
    "chunked with a Kelvin sign": request("transfer-encoding: chun\u212aed", body=chunks(BODY)),
    "identity": request("transfer-encoding: identity"),
    "identity and a length": request("transfer-encoding: identity", f"content-length: {len(BODY)}"),
    "no coding in the header": request("transfer-encoding:", f"content-length: {len(BODY)}"),
    "two codings in two headers": request("transfer-encoding: identity", CHUNKED, body=chunks(BODY)),
    "chunked in HTTP/1.0": request(CHUNKED, line="POST /v1/chat/completions HTTP/1.0", body=chunks(BODY)),
    "chunks and a length in HTTP/1.0": request(
        CHUNKED, "content-length: 5", line="POST /v1/chat/completions HTTP/1.0", body=chunks(BODY)
    ),
    "an empty length": request("content-length:"),
    "a length with an underscore": request("content-length: 1_0"),
    "a length with a point": request("content-length: 5.0"),
    "two different lengths in a list": request("content-length: 5, 6"),
    "two hosts": request("host: a", "host: b"),
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "a folded header": request("x-a: 1\r\n 2"),
    "a length in a folded header": request("x-a: 1\r\n\tcontent-length: 2"),
    "a space before the colon": request("content-length : 5"),
    "no colon": request("nonsense"),
    "NUL in a header": request(b"x-a: a\0b"),
    "a control character in a header": request(b"x-a: a\x01b"),
    "CR in a correlation id": request(b"correlation-id: a\rset-cookie: b"),
    "LF in a correlation id": request(b"correlation-id: a\n b"),
    "lines that end in LF": request().replace(b"\r\n", b"\n"),
    "a header line of 9 KB": request("x-a: " + "a" * 9000),
    "a header line of 1 MB": request("x-a: " + "a" * 1_000_000),
    "a header name of 9 KB": request("x" * 9000 + ": a"),
    "200 headers": request(*(f"x-{number}: a" for number in range(200))),
    "50,000 headers": request(*(f"x-{number}: a" for number in range(50_000))),
    "a head of 70 KB": request(*(f"x-{number}: {'a' * 7800}" for number in range(9))),
    "a head of 1 MB": request(*(f"x-{number}: {'a' * 8000}" for number in range(125))),
    "a URL of 9 KB": request(line=f"GET /{'a' * 9000} HTTP/1.1", body=b""),
    "a URL of 1 MB": request(line=f"GET /{'a' * 1_000_000} HTTP/1.1", body=b""),
    "a URL of another kind": request(line="GET v1/models HTTP/1.1", body=b""),
    "a URL with half a host": request(line="GET http://[::1/v1/models HTTP/1.1", body=b""),
    "bytes in the URL": request(line=b"GET /v1/models/\xff HTTP/1.1", body=b""),
    "another version": request(line="GET /v1/models HTTP/1.7", body=b""),
    "a method that is none": request(line="BREW /v1/models HTTP/1.1", body=b""),
    "a method in small letters": request(line="get /v1/models HTTP/1.1", body=b""),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": b"\0\1\2\3\r\n\r\n",
}


@pytest.mark.parametrize("case", NO_HTTP)
def test_what_is_no_http(quick: Proxy, case: str) -> None:
    since = len(quick.lines)
    told = send(quick, NO_HTTP[case])
    assert (True, [400], True) == (told.closed, told.statuses, told.seconds < 2)
    assert ("invalid_request_error", None) == (told.error["type"], told.error["code"])
    assert told.error["message"].startswith("this is no HTTP request")
    assert "aiohttp" not in told.head, "nobody needs to know what this is made of"
    assert logged(quick, since, "request.rejected")
    calm(quick, since)


def test_what_is_no_http_is_logged_without_what_was_sent(quick: Proxy) -> None:
    since = len(quick.lines)
    send(quick, request(b"authorization: Bearer planted-in-a-broken-header\x01"))
    rejected = logged(quick, since, '"event":"request.rejected"')
    assert ['"status":400' in line for line in rejected] == [True]
    assert not [line for line in quick.lines[since:] if "planted-in-a-broken-header" in line]


ANSWERED: dict[str, tuple[bytes, list[int]]] = {
    "HTTP/1.0": (request(line="POST /v1/chat/completions HTTP/1.0"), [200]),
    "an absolute URL": (request(line="POST http://x/v1/chat/completions HTTP/1.1"), [200]),
    "an absolute URL of a stranger": (
        request(line="POST http://elsewhere.example/v1/chat/completions HTTP/1.1"),
        [403],
    ),
    "an upgrade": (request("connection: upgrade, close", "upgrade: websocket", "sec-websocket-version: 13"), [200]),
    "an upgrade to HTTP/2": (request("connection: upgrade, close", "upgrade: h2c", "http2-settings: a"), [200]),
    "100-continue": (request("expect: 100-continue"), [100, 200]),
    "100-continue of HTTP/1.0": (request("expect: 100-continue", line="POST /v1/chat/completions HTTP/1.0"), [200]),
    "another expectation": (request("expect: the-moon"), [417]),
    "another expectation, nowhere": (request("expect: the-moon", line="POST /nowhere HTTP/1.1"), [417]),
    "another expectation besides": (request("expect: 100-continue, the-moon"), [417]),
    "a head of 60 KB": (request(*(f"x-{number}: {'a' * 7480}" for number in range(8))), [200]),
    "chunked in capitals": (request("transfer-encoding: CHUNKED", body=chunks(BODY)), [200]),
    "CONNECT": (request(line="CONNECT elsewhere.example:443 HTTP/1.1", body=b""), [404]),
    "TRACE": (request(line="TRACE /v1/chat/completions HTTP/1.1", body=b""), [405]),
    "OPTIONS *": (request(line="OPTIONS * HTTP/1.1", body=b""), [404]),
    "PUT": (request(line="PUT /v1/models HTTP/1.1"), [405]),
    "HEAD": (request(line="HEAD /v1/models HTTP/1.1", body=b""), [200]),
    "dots in the path": (request(line="GET /v1/../../etc/passwd HTTP/1.1", body=b""), [404]),
    "two slashes": (request(line="GET //elsewhere.example/v1/models HTTP/1.1", body=b""), [404]),
    "percent signs that mean nothing": (request(line="GET /v1/models/%zz%ff%00%ed%a0%80 HTTP/1.1", body=b""), [404]),
    "CR LF in a model's id": (request(line="GET /v1/models/a%0d%0aset-cookie:%20b HTTP/1.1", body=b""), [404]),
    "CR LF in a query": (request(line="GET /v1/models?a=%0d%0aset-cookie:%20b HTTP/1.1", body=b""), [200]),
    "CR LF in a correlation id": (request("correlation-id: a%0d%0ab"), [400]),
    "a correlation id of 129": (request("correlation-id: " + "a" * 129), [400]),
    "bytes in a correlation id": (request(b"correlation-id: \xff\xed\xa0\x80"), [400]),
    "bytes in a key": (request(b"authorization: Bearer \xff\xed\xa0\x80"), [200]),
    "a content type that is none": (request(b"content-type: \xff;;=;charset=utf-16"), [200]),
    "another content type": (request("content-type: multipart/form-data; boundary=x"), [200]),
    "cookies that are none": (request(b"cookie: \xff=;;==;=a"), [200]),
    "an accept that is none": (request("accept: ;q=zz,,/;", line="GET /metrics HTTP/1.1", body=b""), [200]),
    "pipelined": (
        request("connection: keep-alive", line=MODELS, body=b"") * 40 + request(line=MODELS, body=b""),
        [200] * 41,
    ),
    "pipelined behind a stream": (
        request("connection: keep-alive", body=STREAM) + request(line=MODELS, body=b""),
        [200] * 2,
    ),
    "pipelined behind an answer": (request("connection: keep-alive") + request(line=MODELS, body=b""), [200] * 2),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_strange_but_http(quick: Proxy, case: str) -> None:
    since = len(quick.lines)
    data, statuses = ANSWERED[case]
    told = send(quick, data)
    assert (True, statuses) == (told.closed, told.statuses)
    assert "set-cookie" not in told.head, "no header can be smuggled in"
    if statuses[-1] >= 400:
        assert told.error["message"]
    calm(quick, since)


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
def test_callers_of_http_1_0(quick: Proxy, body: bytes, connection: str) -> None:
    """They know no chunks: where no length was told, the end of the connection is that of the answer."""
    sent = request(f"connection: {connection}", line="POST /v1/chat/completions HTTP/1.0", body=body)
    stays = connection == "keep-alive" and body is BODY
    told = send(quick, sent + (request(line="GET /health HTTP/1.0", body=b"") if stays else b""))
    assert (True, [200] * (1 + stays)) == (told.closed, told.statuses)
    assert "transfer-encoding" not in told.head
    assert told.body.startswith(b"data: {" if body is STREAM else b"{"), "no chunk sizes"
    assert body is not STREAM or told.body.endswith(b"data: [DONE]\n\n")


HALF = {
    "nothing at all": b"",
    "half a line": b"POST /v1/chat",
    "half a head": request().partition(b"hostile")[0],
    "blank lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("case", HALF)
def test_a_head_that_does_not_go_on(quick: Proxy, case: str) -> None:
    since = len(quick.lines)
    told = send(quick, HALF[case])
    assert (True, b"", True) == (told.closed, told.data, 0.9 < told.seconds < 4)
    if HALF[case]:
        assert logged(quick, since, "request_timeout")
    else:
        assert not [line for line in quick.lines[since:] if "request_timeout" in line], "an idle connection is no news"
    calm(quick, since)


def test_a_head_that_goes_on_for_ever(quick: Proxy) -> None:
    """A byte now and then does not buy more time."""
    started = time.monotonic()
    with connected(quick) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nx-a: ")
        with pytest.raises(OSError):  # noqa: PT012 - one of them is the first to notice
            while time.monotonic() - started < 8:
                connection.sendall(b"a")
                time.sleep(0.1)
    assert 0.9 < time.monotonic() - started < 4


def test_the_second_head_of_a_connection(quick: Proxy) -> None:
    """Between two requests a connection may be idle for longer; once one has begun it has to come."""
    with connected(quick) as connection:
        connection.sendall(request("connection: keep-alive", line=MODELS, body=b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(1.5)
        connection.sendall(request("connection: keep-alive", line=MODELS, body=b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /v1")
        started = time.monotonic()
        assert b"" == connection.recv(65536)
        assert 0.9 < time.monotonic() - started < 4


def test_an_answer_takes_longer_than_a_head_may(quick: Proxy, agent: StandIn) -> None:
    """The time is for heads: whoever waits for an answer is left alone, with half of the next request sent or not."""
    agent.script("slow-1", {"deltas": [*"Slowly."], "interval_s": 0.3})
    with connected(quick) as connection:
        connection.sendall(request("connection: keep-alive", "correlation-id: slow-1", body=STREAM) + b"GET /v1/mod")
        got = b""
        while b"[DONE]" not in got:
            piece = connection.recv(65536)
            assert piece, got
            got += piece
        connection.sendall(b"els HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while piece := connection.recv(65536):
            got += piece
    assert b'"object":"list"' in got


def test_a_thousand_half_sent_heads(quick: Proxy) -> None:
    """Others are served meanwhile, and nothing is left of them."""
    process = psutil.Process(quick.process.pid)
    before = process.num_fds()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connected(quick)).sendall(b"POST /v1/chat/completions HTTP/1.1\r\nx-a: b\r\n")
        assert [200] == send(quick, request()).statuses
        deadline = time.monotonic() + 10
        while process.num_fds() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert before >= process.num_fds()


def test_a_caller_that_reads_no_answers(quick: Proxy) -> None:
    """Also where no stream is watched: a hundred answers of /metrics that nobody takes hold nothing for ever."""
    process = psutil.Process(quick.process.pid)
    before = process.num_fds()
    metrics = request("connection: keep-alive", line="GET /metrics HTTP/1.1", body=b"")
    with connected(quick) as connection:
        connection.setblocking(False)
        left = metrics * 3000
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and process.num_fds() >= before:
            try:
                left = left[connection.send(left[:65536]) :]
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        assert time.monotonic() < deadline
    time.sleep(0.1)
    assert before >= process.num_fds()
