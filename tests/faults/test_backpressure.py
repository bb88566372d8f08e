"""A caller that does not read slows its upstream down, and what the proxy holds for it meanwhile is bounded."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, repeat

import psutil
import pytest

from tests.faults.front import Front, Scripts, front_of
from tests.faults.leaver import Leaver
from tests.faults.upstream import Beside, Steps, Upstream
from tests.faults.wire import CHUNKS, LAST, STACKSPOT, Wire, chunk

pytestmark = pytest.mark.slow

MB = 2**20
STREAMS = 6
TO_GIVE = 100 * MB
GROWTH = 1 * MB  # for each stream, at most
SHRUNK = 4096  # what the kernel makes of it is some more
STILL_S = 0.4
STALL_S = 2.0
STALL = "proxy: {timeouts: {write_stall: 2}}\n"
WIRES = {"agent": STACKSPOT, "gpt": CHUNKS}
SIZES = {"tokens": 16, "long texts": 60_000}


@pytest.fixture(scope="module")
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture(scope="module")
def upstream(scripts: Scripts) -> Iterator[Upstream]:
    """One with little room in its kernel."""
    raw = Upstream(scripts, sndbuf=SHRUNK)
    with Beside(raw):
        yield raw


@pytest.fixture(scope="module", params=["on", "off"], ids=["short way", "plain way"])
def front(
    request: pytest.FixtureRequest, upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    log = {"LOG_LEVEL": "INFO"}  # DEBUG tells the arguments of calls, so it holds what may have some
    with front_of(upstream, scripts, tmp_path_factory.mktemp("front"), STALL, HANDOVER=request.param, **log) as found:
        yield found


def much(wire: Wire, size: int) -> Steps:
    """100 MB in deltas of ``size`` characters, a good many of them to a write."""
    delta = wire.delta("x" * size)
    piece = chunk(delta * max(1, 60_000 // len(delta)))
    return chain([wire.head + chunk(wire.part)], repeat(piece, TO_GIVE // len(piece)))


def given(upstream: Upstream, ids: list[str]) -> int:
    return sum(exchange.sent for one in ids for exchange in upstream.of(one))


def wait_still(upstream: Upstream, ids: list[str]) -> int:
    """What was given once nothing more is."""
    deadline = time.monotonic() + 20
    before = -1
    while (now := given(upstream, ids)) != before or not now:
        assert time.monotonic() < deadline, "it does not stop"
        before = now
        time.sleep(STILL_S)
    return now


SLOWLY = 1500  # bytes at a time
EVERY_S = 0.1


def reads_slowly(caller: Leaver, seconds: float) -> int:
    """How much a caller gets that reads 15 KB/s without a pause."""
    got = 0
    started = time.monotonic()
    while (now := time.monotonic()) < started + seconds:
        got += len(caller.read(SLOWLY))
        time.sleep(max(0.0, now + EVERY_S - time.monotonic()))
    return got


@pytest.mark.parametrize(("model", "size"), [("agent", "tokens"), ("gpt", "long texts"), ("agent", "one answer")])
def test_steady_slow_reader_is_not_stalled(front: Front, correlation_id: str, model: str, size: str) -> None:
    """Three times the limit of 2 s, during which the kernel would have been glad to take all the rest at once."""
    front.scripts.put(correlation_id, whole(4 * MB) if size == "one answer" else much(WIRES[model], SIZES[size]))
    streamed = size != "one answer"
    with Leaver(front.proxy.url, correlation_id, rcvbuf=16_384, model=model, stream=streamed) as caller:
        assert reads_slowly(caller, 3 * STALL_S) > SLOWLY * 10 * STALL_S
        assert [] == front.proxy.events(event="request.finished", correlation_id=correlation_id)


def test_reader_that_stops_is_cut(front: Front, correlation_id: str) -> None:
    front.scripts.put(correlation_id, much(STACKSPOT, 16))
    with Leaver(front.proxy.url, correlation_id, rcvbuf=16_384, model="agent", stream=True) as caller:
        reads_slowly(caller, STALL_S)
        front.proxy.wait_event(30, event="request.finished", correlation_id=correlation_id, end_reason="write_stall")
        front.upstream.wait_over(correlation_id, 1)


def whole(size: int) -> Steps:
    text = chunk(STACKSPOT.delta("x" * 50_000))
    return [STACKSPOT.head, *[text] * (size // 50_000), chunk(STACKSPOT.closing) + LAST]


@pytest.mark.parametrize(("model", "size"), [("agent", "tokens"), ("gpt", "long texts")])
def test_a_caller_that_never_reads(front: Front, correlation_id: str, model: str, size: str) -> None:
    wire, process = WIRES[model], psutil.Process(front.proxy.process.pid)
    ids = [f"{correlation_id}-{number}" for number in range(STREAMS)]
    before = process.memory_info().rss
    with ExitStack() as stack:
        for one in ids:
            front.scripts.put(one, much(wire, SIZES[size]))
        callers = [
            stack.enter_context(Leaver(front.proxy.url, one, rcvbuf=SHRUNK, model=model, stream=True)) for one in ids
        ]
        held = wait_still(front.upstream, ids)
        growth = (process.memory_info().rss - before) / STREAMS
        print(f"{model}, {size}: {growth / 1024:.0f} KB, given {held / STREAMS / 1024:.0f} KB")
        assert growth < GROWTH
        assert held < STREAMS * TO_GIVE / 4, "the rest is the upstream's to keep"
        held = given(front.upstream, ids[:1])
        while given(front.upstream, ids[:1]) == held:  # it goes on as soon as there is room
            assert callers[0].read()
    for one in ids:
        front.upstream.wait_over(one, 1)
