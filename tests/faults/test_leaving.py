"""A caller that leaves, at every moment and in every way: nothing goes on for it, and nobody is alarmed."""

import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.faults.caller import ask
from tests.faults.front import Front, Scripts, front_of
from tests.faults.leaver import HOWS, How, Leaver
from tests.faults.upstream import Steps, Upstream
from tests.faults.wire import JSON, LAST, STACKSPOT, chunk, head
from tests.support.chat import WEATHER_TOOL

pytestmark = pytest.mark.slow

QUOTA = "proxy: {quota: {requests_per_minute: 100000, max_concurrent: 1, queue_timeout: 60}}\n"
UNREADABLE = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the "old" town"}\nFUNCTION_CALL_END'
COMING_BACK = head(JSON, "503 Unavailable", "content-length: 0", "retry-after: 30")
BROKEN_CALL = [STACKSPOT.head + chunk(STACKSPOT.delta(UNREADABLE) + STACKSPOT.closing) + LAST]


@dataclass(frozen=True, slots=True)
class Moment:
    """When the caller leaves: once the upstream was asked ``posts`` times, and ``text`` was read. ``tells`` are the
    events above the level of everyday that belong to what was before."""

    model: str
    answers: tuple[Steps, ...]
    posts: int = 1
    text: bytes = b""
    streamed: tuple[bool, ...] = (True, False)
    tells: tuple[str, ...] = ()


MOMENTS: Mapping[str, Moment] = {
    "before the status line": Moment("agent", (["hold"],)),
    "before the first event": Moment("agent", ([STACKSPOT.head, "hold"],)),
    "in the middle": Moment("agent", ([STACKSPOT.head + chunk(STACKSPOT.part), "hold"],), text=b"abcd", streamed=(True,)),
    "in the middle, unseen": Moment("agent", ([STACKSPOT.head + chunk(STACKSPOT.part), "hold"],), streamed=(False,)),
    "while a retry is waited for": Moment("gpt", ([COMING_BACK],), tells=("upstream.retried",)),
    "while a repair is waited for": Moment("agent", (BROKEN_CALL, ["hold"]), posts=2),
}  # fmt: skip
CASES = [(name, how, streamed) for name, moment in MOMENTS.items() for how in HOWS for streamed in moment.streamed]


@pytest.fixture(scope="module")
def front(upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A proxy that has one request at a time under way at StackSpot."""
    with front_of(upstream, scripts, tmp_path_factory.mktemp("front"), QUOTA) as found:
        yield found


def wait_posts(front: Front, correlation_id: str, posts: int) -> None:
    deadline = time.monotonic() + 5
    while front.upstream.posts_of(correlation_id) < posts:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def told_as_left(front: Front, correlation_id: str, before: float) -> None:
    finished = front.proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    assert (499, None) == (finished["status"], finished["code"])
    assert before + 1 == front.proxy.metric("proxy_requests_total", status="499")


@pytest.mark.parametrize(("name", "how", "streamed"), CASES)
def test_leaving(front: Front, correlation_id: str, name: str, how: How, streamed: bool) -> None:
    moment = MOMENTS[name]
    front.scripts.put(correlation_id, *moment.answers)
    before = front.proxy.metric("proxy_requests_total", status="499")
    with (
        front.ground.kept(correlation_id, reason="client_disconnect", posts=moment.posts, warnings=moment.tells),
        Leaver(front.proxy.url, correlation_id, model=moment.model, stream=streamed, tools=[WEATHER_TOOL]) as caller,
    ):
        wait_posts(front, correlation_id, moment.posts)
        if moment.text:
            caller.read_until(moment.text)
        if moment.tells:
            front.proxy.wait_event(event=moment.tells[0], correlation_id=correlation_id)
        time.sleep(0.05)  # for what it knows to have been dealt with
        caller.leave(how)
        front.upstream.wait_over(correlation_id, 1)
        front.proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    told_as_left(front, correlation_id, before)
    if moment.model == "agent":
        assert "left" == front.upstream.of(correlation_id)[-1].end
        front.scripts.put(f"{correlation_id}-next", STACKSPOT.whole())
        started = time.monotonic()
        assert ask(front.proxy.url, f"{correlation_id}-next", model="agent").complete
        assert 1 > time.monotonic() - started, "its slot is free"


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("how", HOWS)
def test_leaving_the_queue(front: Front, correlation_id: str, how: How, streamed: bool) -> None:
    first, left, then = (f"{correlation_id}-{who}" for who in ("first", "left", "then"))
    front.scripts.put(first, [STACKSPOT.head + chunk(STACKSPOT.part), "hold"])
    front.scripts.put(then, STACKSPOT.whole())
    with (
        front.ground.kept(then, reason="complete", posts=1, others={"client_disconnect": 2}),
        Leaver(front.proxy.url, first, model="agent", stream=True) as before,
    ):
        before.read_until(b"abcd")
        with (
            Leaver(front.proxy.url, left, model="agent", stream=streamed) as caller,
            Leaver(front.proxy.url, then, model="agent", stream=True) as behind,
        ):
            time.sleep(0.2)
            caller.leave(how)
            finished = front.proxy.wait_event(event="request.finished", correlation_id=left, seconds=1)
            assert (499, "client_disconnect") == (finished["status"], finished["end_reason"])
            assert 0 == front.upstream.posts_of(then), "it is not its turn yet"
            before.leave("closes")
            behind.read_until(b"[DONE]")
    assert 0 == front.upstream.posts_of(left)


WAITS = {
    "before the status line": lambda text: ["hold" if text is None else 0.9, STACKSPOT.head + chunk(STACKSPOT.delta(text or "") + STACKSPOT.closing) + LAST],
    "before the first event": lambda text: [STACKSPOT.head, "hold" if text is None else 0.9, chunk(STACKSPOT.delta(text or "") + STACKSPOT.closing) + LAST],
    "in the middle": lambda text: [STACKSPOT.head + chunk(STACKSPOT.delta("abcd")), "hold" if text is None else 0.9, chunk(STACKSPOT.delta(text or "") + STACKSPOT.closing) + LAST],
}  # fmt: skip
"""What an upstream does that lets a caller wait for ``text``, or for good."""


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", WAITS)
def test_half_closed_client_gets_its_answer(front: Front, correlation_id: str, name: str, streamed: bool) -> None:
    front.scripts.put(correlation_id, WAITS[name]("efgh"))
    with (
        front.ground.kept(correlation_id, reason="complete", posts=1),
        Leaver(front.proxy.url, correlation_id, model="agent", stream=streamed) as caller,
    ):
        caller.half_close()
        got = caller.read_all()
    *interim, _ = got.split(b"HTTP/1.1 200 OK\r\n")
    assert set(interim[0].split(b"\r\n\r\n")) <= {b"HTTP/1.1 100 Continue", b""}
    assert b"efgh" in got
    assert not streamed or got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "whole, and then closed"
    assert "answered" == front.upstream.of(correlation_id)[-1].end


def test_half_closed_client_gets_a_quick_answer_without_interim_responses(front: Front, correlation_id: str) -> None:
    front.scripts.put(correlation_id, STACKSPOT.whole())
    with Leaver(front.proxy.url, correlation_id, model="agent") as caller:
        caller.half_close()
        assert caller.read_all().startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", WAITS)
def test_half_closed_client_that_closes_later_is_noticed(
    front: Front, correlation_id: str, name: str, streamed: bool
) -> None:
    """At once where comments are sent; an answer that has not begun has had its interim responses."""
    front.scripts.put(correlation_id, WAITS[name](None))
    quick = streamed and name == "in the middle"
    with Leaver(front.proxy.url, correlation_id, model="agent", stream=streamed) as caller:
        caller.half_close()
        time.sleep(1.5 if quick else 0.3)
        caller.leave("closes")
        front.upstream.wait_over(correlation_id, 1)
    front.proxy.wait_event(event="request.finished", correlation_id=correlation_id, end_reason="client_disconnect")


def test_fin_within_a_request_ends_it(front: Front, correlation_id: str) -> None:
    host, port = front.proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncorrelation-id: x\r\ncontent-length: 100\r\n\r\n{"
        )
        time.sleep(0.1)
        caller.shutdown(socket.SHUT_WR)
        assert b"" == caller.recv(1000)


def test_half_closed_client_gets_all_answers_it_has_asked_for(front: Front) -> None:
    host, port = front.proxy.url.removeprefix("http://").split(":")
    asked = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as caller:
        caller.sendall(asked * 5 + asked[:20])
        caller.shutdown(socket.SHUT_WR)
        got = b""
        while piece := caller.recv(65536):
            got += piece
    assert 5 == got.count(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("how", HOWS)
def test_leaving_with_more_requests_sent_than_are_read(
    front: Front, correlation_id: str, how: How, streamed: bool
) -> None:
    """Reading is paused then, so that nothing tells of the end."""
    front.scripts.put(correlation_id, [STACKSPOT.head + chunk(STACKSPOT.part), "hold"])
    with Leaver(front.proxy.url, correlation_id, model="agent", stream=streamed) as caller:
        wait_posts(front, correlation_id, 1)
        caller.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" * 5)
        time.sleep(0.1)
        caller.leave(how)
        front.upstream.wait_over(correlation_id, 1.5)


def test_leaving_a_stream_of_http_1_0(front: Front, correlation_id: str) -> None:
    front.scripts.put(correlation_id, [STACKSPOT.head + chunk(STACKSPOT.part), "hold"])
    with Leaver(front.proxy.url, correlation_id, version="1.0", model="agent", stream=True) as caller:
        caller.read_until(b"abcd")
        caller.leave("closes")
        front.upstream.wait_over(correlation_id, 1)
