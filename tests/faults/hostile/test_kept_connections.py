"""Bytes that no request asked for, on connections that are kept: each caller gets its own answer, or an error."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.hostile.asking import MODELS, REST_S, ask, is_answer_of, start
from tests.faults.hostile.upstream import CLOSE, Request, Script, Upstream, fixed, whole
from tests.support.processes import Proxy

pytestmark = pytest.mark.slow


def followed_by(extra: bytes | None, after: float | None) -> Script:
    """The right response, and then ``extra`` (the same response without it): in the same write, or ``after`` so many
    seconds."""

    def script(request: Request) -> Iterator[bytes | float]:
        _ = request.body
        response = request.response()
        again = response if extra is None else extra
        if after is None:
            yield response + again
        else:
            yield response
            yield after
            yield again
        if extra is not None and b"close" in extra:
            yield CLOSE

    return script


DELAYS = [None, 0.0, 0.001, 0.005, 0.02, 0.05, 0.3, 0.5, 0.9]
PRIVATE = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"private answer of X"},"finish_reason":"stop"}]}'
)
STRAY = {
    "a byte": b"H",
    "a blank line": b"\r\n",
    "a part of a head": b"HTTP/1.1 200 OK\r\ncontent-ty",
    "a head": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n",
    "a head of chunks": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    "a chunk": b'2a\r\ndata: {"message": "private answer of X"}\n\n\r\n',
    "the last chunk": b"0\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nprivate answer of X",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "408 and the end": fixed("408 Request Timeout", b"", "connection: close"),
    "a response until the end": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + PRIVATE,
    "ten responses": fixed("200 OK", PRIVATE) * 10,
    "no HTTP": b"220 smtp.example.com ESMTP\r\n",
}
"""What answers no request, besides a response that is repeated."""
SKIPPED = "a blank line"
"""By HTTP parsers, where it comes in one read with the end of a response."""
NO_HEAD = ("a chunk", "the last chunk", "no HTTP")
"""In one read with a response it makes that unreadable, which its own caller is told."""


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize("after", DELAYS)
@pytest.mark.parametrize(("model", "streamed"), MODELS)
def test_repeated_response_reaches_no_other_caller(
    before_raw: Proxy, raw: Upstream, model: str, streamed: bool, after: float | None, at_once: bool
) -> None:
    """Callers that come at once, while the repetition is still to come, and when it has come."""
    raw.script = followed_by(None, after)
    for number in range(2):
        caller = f"repeated-{number}"
        assert is_answer_of(caller, ask(before_raw, caller, model, streamed))
        if not at_once:
            raw.wait_scripts()


@pytest.mark.parametrize("after", [None, 0.005, 0.1])
@pytest.mark.parametrize("stray", STRAY)
def test_stray_bytes_close_an_idle_connection(
    before_raw: Proxy, raw: Upstream, stray: str, after: float | None
) -> None:
    raw.script, since = followed_by(STRAY[stray], after), len(raw.requests)
    for model, streamed in MODELS:
        caller = f"stray-{model}-{streamed}"
        reply = ask(before_raw, caller, model, streamed)
        assert is_answer_of(caller, reply) or (502 == reply.status_code and stray in NO_HEAD and after != 0.1)
    raw.wait_scripts()
    if stray != SKIPPED or after == 0.1:
        raw.wait_closed(*(request.connection for request in raw.requests[since:]))
    raw.script = whole
    assert is_answer_of("after-it", ask(before_raw, "after-it"))


def test_bytes_on_an_old_idle_connection_close_it(before_raw: Proxy, raw: Upstream) -> None:
    """Longer after the response than connections rest."""
    raw.script = followed_by(None, REST_S)
    assert is_answer_of("old", ask(before_raw, "old"))
    raw.wait_scripts()
    raw.wait_closed(raw.of("old")[-1].connection)
    raw.script = whole
    assert is_answer_of("new", ask(before_raw, "new"))


def test_repeated_login_is_nobody_s_answer(raw: Upstream, tmp_path: Path) -> None:
    """Login and agent share a host here, and so their connections."""
    proxy = start(raw, tmp_path)
    try:
        for after in (None, 0.005, 0.3):
            raw.script = followed_by(None, after)
            assert is_answer_of("first", ask(proxy, "first", "agent"))
            raw.wait_scripts()
            raw.scripts["refused"] = refusing_once("401 Unauthorized")
            assert is_answer_of("refused", ask(proxy, "refused", "agent")), "by another login"
    finally:
        raw.scripts.clear()
        assert 0 == proxy.stop()


def refusing_once(status: str) -> Script:
    asked = []

    def script(request: Request) -> Iterator[bytes | float]:
        _ = request.body
        asked.append(request)
        yield fixed(status) if len(asked) == 1 else request.response()

    return script


def early(request: Request) -> Iterator[bytes | float]:
    """On a connection that was used before, answers somebody else when it has read the head of a request."""
    if request.number:
        yield fixed("200 OK", PRIVATE)
        yield 0.3
    yield from whole(request)


SIZES = [100_000, 1_000_000, 9_000_000]
"""More than the upstream's kernel takes; than the proxy's kernel takes, too."""


@pytest.mark.parametrize("size", SIZES)
def test_response_to_a_part_of_a_request_is_not_trusted_on_a_reused_connection(
    before_raw: Proxy, raw: Upstream, size: int
) -> None:
    """Such a request cannot have begun, and never will: a new connection gets it."""
    raw.script = whole
    assert is_answer_of("warm", ask(before_raw, "warm"))
    time.sleep(REST_S)
    caller = f"large-{size}"
    raw.script = early
    assert is_answer_of(caller, ask(before_raw, caller, text="x" * size))
    raw.wait_scripts()
    first, second = raw.of(caller)
    assert (True, 0) == (first.number > 0, second.number)
    assert (False, True) == (first.was_read, second.was_read)


@pytest.mark.parametrize("reused", [False, True])
def test_early_refusal_reaches_the_caller(before_raw: Proxy, raw: Upstream, reused: bool) -> None:
    """A server may refuse a request whose body it has not read; on a new connection that is trusted."""
    raw.script = whole
    if reused:
        assert is_answer_of("warm", ask(before_raw, "warm"))
        time.sleep(REST_S)

    def refuse(_: Request) -> Iterator[bytes | float]:
        yield fixed("413 Content Too Large", b'{"error":{"message":"too large"}}')
        yield 0.3
        yield CLOSE

    caller = f"refused-{reused}"
    raw.script = refuse
    reply = ask(before_raw, caller, text="x" * SIZES[-1])
    assert (413, "too large") == (reply.status_code, reply.json()["error"]["message"])
    assert 0 == raw.of(caller)[-1].number


def test_healthy_connections_are_reused(before_raw: Proxy, raw: Upstream) -> None:
    raw.script = whole
    time.sleep(REST_S)
    before = raw.connections
    for number in range(3):
        assert is_answer_of(f"slow-{number}", ask(before_raw, f"slow-{number}", *MODELS[number]))
        time.sleep(REST_S)
    assert 0 <= raw.connections - before <= 1
    before = raw.connections
    for _ in range(3):  # however many are wanted at a time: they are opened once
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda number: is_answer_of(f"q-{number}", ask(before_raw, f"q-{number}")), range(8)))
        time.sleep(REST_S)
    assert raw.connections - before <= 8
