"""What holds of a book whatever is done with it, and that both kinds do the same."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.dispatch.quota.ledger import Allowance, Ledger
from proxy.dispatch.quota.memory import MemoryLedger
from tests.dispatch.quota.support import at_once, memory_shop, redis_shop
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer

WINDOW = 10.0
ALLOWANCES = st.builds(Allowance, st.none() | st.integers(1, 6), st.none() | st.integers(1, 4), st.just(WINDOW))
PASSES = [0.125, 0.25, 1, 2, 5, 9.875, 10, 30]  # as floats they add up exactly
# Which of the tickets made so far is meant is drawn as a number, and taken modulo how many there are.
WHICH = st.integers(0, 30)
STEP = (
    st.tuples(st.just("reserve"), st.sampled_from([0, 1, 5, 10, 30, 1000]))
    | st.tuples(st.sampled_from(["start", "finish", "cancel", "sent"]), WHICH)
    | st.tuples(st.just("pass"), st.sampled_from(PASSES))
    | st.tuples(st.sampled_from(["limited", "wait"]), st.just(0))
)
Step = tuple[str, Any]
ON_ANY_MACHINE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
STEPS = st.lists(STEP, max_size=40)


OUTCOMES = {"started": 0, "waiting": 1, "refused": 2}


async def do(ledger: Ledger, step: Step, tickets: list[str]) -> tuple[float, ...]:
    """Does a step, on a ticket of ``tickets`` where it needs one, and says in numbers what came of it."""
    match step:
        case "reserve", patience:
            tickets.append(f"t{len(tickets)}")
            given = await ledger.reserve(tickets[-1], patience)
            return OUTCOMES[given.outcome], given.wait
        case "wait", _:
            return (await ledger.wait(),)
        case "limited", _:
            await ledger.limited()
        case name, which if tickets:
            ticket = tickets[which % len(tickets)]
            if name == "start":
                return (await ledger.start(ticket),)
            if name == "sent":  # what it answers is measured on this process's own clock
                ledger.sent(ticket)
                return ()
            getattr(ledger, name)(ticket)
    return ()


def windows(times: Sequence[float]) -> Iterator[int]:
    """How many of the times each window holds that begins with one of them."""
    for begin in times:
        yield sum(begin <= time < begin + WINDOW for time in times)


@settings(ON_ANY_MACHINE)
@given(ALLOWANCES, STEPS)
def test_no_window_and_no_moment_ever_holds_more_than_allowed(allowance: Allowance, steps: list[Step]) -> None:
    clock = Clock()
    ledger = MemoryLedger(allowance, clock)
    waiting: list[str] = []
    running: list[str] = []
    sent: dict[str, float] = {}

    def launch(ticket: str) -> None:
        running.append(ticket)
        sent[ticket] = clock.now

    for number, (name, operand) in enumerate(steps):
        able = {"start": waiting, "finish": running, "cancel": waiting + running, "sent": running}.get(name, [])
        ticket = able[operand % len(able)] if able else f"t{number}"
        if name == "pass":
            clock.now += operand
        elif name == "limited":
            at_once(ledger.limited())
        elif name == "reserve":
            match at_once(ledger.reserve(ticket, operand)).outcome:
                case "started":
                    launch(ticket)
                case "waiting":
                    waiting.append(ticket)
        elif name == "start" and able and not at_once(ledger.start(ticket)):
            waiting.remove(ticket)
            launch(ticket)
        elif name in ("finish", "cancel") and able:
            getattr(ledger, name)(ticket)
            if name == "cancel":
                sent.pop(ticket, None)
            (waiting if ticket in waiting else running).remove(ticket)
        assert allowance.concurrent is None or len(running) <= allowance.concurrent
    assert allowance.requests is None or max(windows(list(sent.values())), default=0) <= allowance.requests


@settings(ON_ANY_MACHINE)
@given(ALLOWANCES, STEPS)
def test_everybody_in_line_gets_a_turn(allowance: Allowance, steps: list[Step]) -> None:
    """Nothing that is done leaves something behind for which others wait for ever; each in its order."""
    clock = Clock()
    ledger = MemoryLedger(allowance, clock)
    tickets: list[str] = []
    for name, operand in steps:
        if name == "pass":
            clock.now += operand
        elif name != "finish":
            at_once(do(ledger, (name, operand), tickets))
    for ticket in ledger.ages()["running"]:
        ledger.finish(ticket)
    for ticket in list(ledger.ages()["waiting"]):
        asked = itertools.count()
        while again := at_once(ledger.start(ticket)):
            assert next(asked) < 200
            clock.now += again
        ledger.finish(ticket)
    assert ({}, {}) == (ledger.ages()["waiting"], ledger.ages()["running"])


@settings(ON_ANY_MACHINE, max_examples=100)
@given(ALLOWANCES, STEPS)
def test_both_kinds_do_the_same(
    redis_server: RedisServer, prefix: str, allowance: Allowance, steps: list[Step]
) -> None:
    async def compare(number: int) -> None:
        memory = memory_shop()
        with pytest.MonkeyPatch.context() as patch:
            async with redis_shop(redis_server.url, f"{prefix}-{number}", patch) as redis:
                shops = (memory, redis)
                ledgers = [shop.open(allowance) for shop in shops]
                tickets: list[list[str]] = [[], []]
                for step in steps:
                    if step[0] == "pass":
                        for shop in shops:
                            await shop.pass_time(step[1])
                        continue
                    here, there = [
                        await do(ledger, step, known) for ledger, known in zip(ledgers, tickets, strict=True)
                    ]
                    assert here == pytest.approx(there, abs=1e-3)

    asyncio.run(compare(next(_COUNT)))


_COUNT = itertools.count()
