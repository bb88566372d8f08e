"""Which requests are sent again when a connection is lost without an answer: those that cannot have begun."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hostile.asking import REST_S, ask, is_answer_of, start
from tests.faults.hostile.upstream import CLOSE, RESET, Request, Script, Upstream, whole
from tests.support.processes import Proxy

pytestmark = pytest.mark.slow

ENDS = {"close": CLOSE, "reset": RESET}


def lost_on_reused(end: bytes, after: float = 0.0, *said: bytes) -> Script:
    """A connection that was used before is ended when the request was read; a new one answers."""

    def script(request: Request) -> Iterator[bytes | float]:
        _ = request.body
        if request.number:
            yield from said
            yield after
            yield end
        yield request.response()

    return script


def lost(end: bytes, after: float = 0.0) -> Script:
    """Whatever the connection, it is ended when the request was read."""

    def script(request: Request) -> Iterator[bytes | float]:
        _ = request.body
        if request.is_login:
            yield request.response()
            return
        yield after
        yield end

    return script


def warm(proxy: Proxy, raw: Upstream) -> None:
    """Leaves a connection that may be used again."""
    raw.script = whole
    assert is_answer_of("warm", ask(proxy, "warm", "agent"))
    time.sleep(REST_S)


@pytest.mark.parametrize(("model", "streamed"), [("agent", True), ("gpt", False)])
@pytest.mark.parametrize("end", ENDS)
def test_stale_connection_is_replaced_once(
    before_raw: Proxy, raw: Upstream, end: str, model: str, streamed: bool
) -> None:
    """Also where nothing is retried."""
    warm(before_raw, raw)
    raw.script = lost_on_reused(ENDS[end])
    caller = f"stale-{end}-{model}-{streamed}"
    assert is_answer_of(caller, ask(before_raw, caller, model, streamed))
    assert [True, False] == [request.number > 0 for request in raw.of(caller)]


@pytest.mark.parametrize("end", ENDS)
def test_new_connection_that_is_lost_is_an_error(before_raw: Proxy, raw: Upstream, end: str) -> None:
    """The request that met a stale one is sent twice at most."""
    warm(before_raw, raw)
    raw.script = lost(ENDS[end])
    caller = f"lost-{end}"
    reply = ask(before_raw, caller)
    assert (502, "upstream_disconnected") == (reply.status_code, reply.json()["error"]["code"])
    assert "x-should-retry" not in reply.headers, "the client decides"
    assert [True, False] == [request.number > 0 for request in raw.of(caller)]


MAY_HAVE_BEGUN = {
    "silence, then a close": lost_on_reused(CLOSE, 0.3),
    "silence, then a reset": lost_on_reused(RESET, 0.3),
    "a byte, then a close": lost_on_reused(CLOSE, 0.0, b"H"),
    "a part of a head, then a reset": lost_on_reused(RESET, 0.0, b"HTTP/1.1 200 OK\r\n"),
    "an informational response, then a close": lost_on_reused(CLOSE, 0.0, b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.mark.parametrize("case", MAY_HAVE_BEGUN)
def test_request_that_may_have_begun_is_not_sent_again(before_raw: Proxy, raw: Upstream, case: str) -> None:
    warm(before_raw, raw)
    raw.script = MAY_HAVE_BEGUN[case]
    caller = f"begun-{case.replace(' ', '-').replace(',', '')}"
    reply = ask(before_raw, caller)
    assert (502, "upstream_disconnected") == (reply.status_code, reply.json()["error"]["code"])
    assert [True] == [request.number > 0 for request in raw.of(caller)]


@pytest.mark.parametrize("after", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("end", ENDS)
def test_retries_do_not_generate_twice(raw: Upstream, tmp_path: Path, end: str, after: float) -> None:
    proxy = start(raw, tmp_path, retries=3)
    try:
        raw.script = lost(ENDS[end], after)
        caller = f"retries-{end}-{after}"
        assert "upstream_disconnected" == ask(proxy, caller, "agent").json()["error"]["code"]
        assert 1 == len(raw.of(caller))
    finally:
        assert 0 == proxy.stop()


def test_request_whose_login_was_lost_is_retried(raw: Upstream, tmp_path: Path) -> None:
    """A login generates nothing, and nothing was sent to the agent."""

    def script(request: Request) -> Iterator[bytes | float]:
        _ = request.body
        yield CLOSE

    proxy = start(raw, tmp_path, retries=1)
    try:
        raw.script = script
        assert "upstream_unreachable" == ask(proxy, "login", "agent").json()["error"]["code"]
        assert "upstream_unreachable" == proxy.wait_event(event="upstream.retried", correlation_id="login")["code"]
        assert [] == raw.of("login")
    finally:
        assert 0 == proxy.stop()
