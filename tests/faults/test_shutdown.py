"""SIGTERM while everything is under way, and more callers than may be served: nothing is cut without a word."""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.caller import Told, ask
from tests.faults.front import Front, Scripts, front_of
from tests.faults.ground import never_faked
from tests.faults.leaver import Leaver
from tests.faults.upstream import Steps, Upstream
from tests.faults.wire import CHUNKS, LAST, STACKSPOT, chunk
from tests.support.chat import WEATHER_TOOL

pytestmark = pytest.mark.slow

CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Rome"}\nFUNCTION_CALL_END'
UNREADABLE = CALL.replace("Rome", 'the "old" town')
MORE = "proxy: {{quota: {{max_concurrent: 1, queue_timeout: 60}}, drain_timeout: {drain}}}\n"
BUSY = "proxy: {limits: {max_streams: 8}}\n"


def says(text: str) -> bytes:
    return chunk(STACKSPOT.delta(text) + STACKSPOT.closing) + LAST


def under_way(goes_on: bool) -> Mapping[str, tuple[str, bool, list[Steps]]]:
    """What is under way when the signal comes: the model, whether it is streamed, what the upstream does. It ends soon
    if it ``goes_on``, else not at all."""
    last: list[float | str] = [1.0] if goes_on else ["hold"]
    return {
        "stream": ("agent", True, [[STACKSPOT.head + chunk(STACKSPOT.part), *last, chunk(STACKSPOT.rest) + LAST]]),
        "relayed": ("gpt", True, [[CHUNKS.head + chunk(CHUNKS.part), *last, chunk(CHUNKS.rest) + LAST]]),
        "whole": ("collected", False, [[CHUNKS.head + chunk(CHUNKS.part), *last, chunk(CHUNKS.rest) + LAST]]),
        "repair": ("second", True, [[STACKSPOT.head, says(UNREADABLE)], [*last, STACKSPOT.head, says(CALL)]]),
        "turn": ("third", True, [[*last, STACKSPOT.head, says("Hi")]]),
        "queue": ("third", True, [[STACKSPOT.head, says("Hi")]]),
    }  # type: ignore[dict-item]


@contextmanager
def signalled(
    upstream: Upstream, scripts: Scripts, folder: Path, name: str, drain: float
) -> Iterator[tuple[Front, Mapping[str, Future[Told]]]]:
    """A proxy with everything under way that was told to end."""
    with front_of(upstream, scripts, folder, MORE.format(drain=drain)) as front, ThreadPoolExecutor(16) as pool:
        asked: dict[str, Future[Told]] = {}
        for case, (model, streamed, steps) in under_way(goes_on=drain > 1).items():
            scripts.put(f"{name}-{case}", *steps)
            asked[case] = pool.submit(ask, front.proxy.url, f"{name}-{case}", timeout=10, model=model, stream=streamed, tools=[WEATHER_TOOL])  # fmt: skip
            deadline = time.monotonic() + 5
            while upstream.posts_of(f"{name}-{case}") < (len(steps) if case != "queue" else 0):
                assert time.monotonic() < deadline, case
                time.sleep(0.01)
        time.sleep(0.2)
        front.proxy.process.send_signal(signal.SIGTERM)
        front.proxy.wait_event(event="shutdown.draining", answers=6)
        yield front, asked


def test_what_is_under_way_may_end(upstream: Upstream, scripts: Scripts, tmp_path: Path, correlation_id: str) -> None:
    with signalled(upstream, scripts, tmp_path, correlation_id, drain=10) as (front, asked):
        late = ask(front.proxy.url, "late", model="agent", stream=True)
        assert (503, "shutting_down", "1", "close") == (
            late.status, late.code, late.headers["retry-after"], late.headers["connection"],
        )  # fmt: skip
        assert 503 == front.proxy.client.get("/ready").status_code
        turned_away(front, correlation_id, asked.pop("queue"), asked)
        told = {case: future.result() for case, future in asked.items()}
        assert dict.fromkeys(told, (200, None, True)) == {c: (t.status, t.code, t.complete) for c, t in told.items()}
        assert 0 == front.proxy.wait(5)
        assert ["complete"] * 5 == [
            line["end_reason"]
            for line in front.proxy.events(event="request.finished")
            if line["correlation_id"] in [f"{correlation_id}-{c}" for c in told]
        ]


def test_what_takes_too_long_ends_with_a_word(
    upstream: Upstream, scripts: Scripts, tmp_path: Path, correlation_id: str
) -> None:
    with signalled(upstream, scripts, tmp_path, correlation_id, drain=0.5) as (front, asked):
        told_of_the_end(front, correlation_id, asked)
        assert 0 == front.proxy.wait(5)


def test_a_second_signal_does_not_cut_either(
    upstream: Upstream, scripts: Scripts, tmp_path: Path, correlation_id: str
) -> None:
    with signalled(upstream, scripts, tmp_path, correlation_id, drain=1) as (front, asked):
        started = time.monotonic()
        front.proxy.process.send_signal(signal.SIGTERM)
        told_of_the_end(front, correlation_id, asked)
        assert 0 == front.proxy.wait(5)
        assert 0.9 > time.monotonic() - started


def turned_away(
    front: Front, name: str, queued: Future[Told], under_way: Mapping[str, Future[Told]] | None = None
) -> None:
    """What waits in the queue has sent nothing: it is refused at once, not when the drain is over."""
    got = queued.result()
    assert not any(future.done() for future in (under_way or {}).values()), "those under way still are"
    assert (503, "shutting_down", "1", "close") == (
        got.status, got.code, got.headers["retry-after"], got.headers["connection"],
    )  # fmt: skip
    assert 0 == front.upstream.posts_of(f"{name}-queue")


def told_of_the_end(front: Front, name: str, asked: Mapping[str, Future[Told]]) -> None:
    turned_away(front, name, asked["queue"])
    told = {case: future.result() for case, future in asked.items() if case != "queue"}
    for case, got in told.items():
        never_faked(got)
        assert got.ended, case
        assert "shutting_down" == got.code, case
        assert (200 if case in ("stream", "relayed") else 504) == got.status, case
        assert ("abcd" if got.streamed else "") == got.text
        front.upstream.wait_over(f"{name}-{case}", 1)
        front.proxy.wait_event(event="request.finished", correlation_id=f"{name}-{case}")
        (line,) = front.proxy.events(event="request.finished", correlation_id=f"{name}-{case}")
        assert "shutdown" == line["end_reason"], case
    assert not any("Traceback" in line for line in front.proxy.lines)


def test_overload(upstream: Upstream, scripts: Scripts, tmp_path: Path, correlation_id: str) -> None:
    """The streams under way do not notice those who are refused."""
    gap, tokens = 0.02, 60
    steps = itertools.chain([STACKSPOT.head], *([chunk(STACKSPOT.delta("x")), gap] for _ in range(tokens)), [says("")])
    paced = list(steps)
    with (
        front_of(upstream, scripts, tmp_path, BUSY) as front,
        ThreadPoolExecutor(16) as pool,
        ExitStack() as stack,
    ):
        ids = [f"{correlation_id}-{number}" for number in range(8)]
        for one in ids:
            scripts.put(one, paced)
        callers = [stack.enter_context(Leaver(front.proxy.url, one, model="agent", stream=True)) for one in ids]
        for caller in callers:
            caller.read_until(b'"x"')
        started = time.monotonic()
        refusals = list(
            pool.map(
                lambda number: ask(front.proxy.url, f"over-{number}", model="agent", stream=number % 2 == 0), range(60)
            )
        )
        took = time.monotonic() - started
        assert {(429, "rate_limit_exceeded", "1")} == {(t.status, t.code, t.headers["retry-after"]) for t in refusals}
        assert 1.5 > took, "at once"
        for caller in callers:
            caller.read_until(b"[DONE]")
        assert 2.5 * gap * tokens > time.monotonic() - started
        assert 1 > max(t.headers_after for t in refusals)
        assert ask(front.proxy.url, ids[0], model="agent").complete
