"""The queue before an account: turns, refusals, and those who leave."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.dispatch.quota.ledger import Allowance, Reservation
from proxy.dispatch.quota.memory import MemoryLedger
from proxy.dispatch.quota.queue import Queue
from proxy.errors import Draining, QuotaExceeded
from tests.dispatch.quota.support import Waits, at_once, until

ONE_AT_ONCE = Allowance(None, 1)


class Place:
    """A queue, and callers whose requests last until the test ends them."""

    def __init__(self, allowance: Allowance, timeout: float = 30, ledger: MemoryLedger | None = None) -> None:
        self.ledger = ledger or MemoryLedger(allowance)
        self.waits = Waits()
        self.queue = Queue(self.ledger, timeout, self.waits)
        self.order: list[str] = []
        self.refused: list[str] = []
        self.callers: dict[str, asyncio.Task[None]] = {}
        self._over: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        """Callers come one after the other; the first letter of a name is that of the caller's key."""
        for name in names:
            self._over[name] = asyncio.Event()
            self.callers[name] = asyncio.create_task(self._call(name))
            await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self._over[name].set()
            await settle()

    async def leave(self, *names: str) -> None:
        for name in names:
            self.callers[name].cancel()
        await settle()

    async def end_all(self) -> list[str]:
        """Ends them one after the other as they get their turn; the order of all turns."""
        for name in self.order:  # it grows
            await self.end(name)
        return self.order

    def give_turn(self) -> None:
        """What happens when the only slot becomes free, all in one step of the loop."""
        self.ledger.finish("1")
        ticket = self.queue._tickets.popleft()
        assert 0 == at_once(self.ledger.start(ticket))
        self.queue._grant(ticket)

    async def _call(self, name: str) -> None:
        try:
            async with self.queue.admit(name[0]):
                self.order.append(name)
                await self._over[name].wait()
        except QuotaExceeded:
            self.refused.append(name)

    def assert_nothing_left(self) -> None:
        """No waiter, place, slot or task; and what was never sent does not count."""
        ages = self.ledger.ages()
        assert ({}, {}) == (ages["waiting"], ages["running"])
        assert len(self.waits.seconds) >= len(ages["sent"])
        assert (0, 0) == (len(self.queue._lines), len(self.queue._tickets))
        assert {asyncio.current_task()} == asyncio.all_tasks()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def place(allowance: Allowance, timeout: float = 30, ledger: MemoryLedger | None = None) -> AsyncIterator[Place]:
    """Ends behind the test what it left open, and sees that nothing is left then."""
    opened = Place(allowance, timeout, ledger)
    yield opened
    await opened.leave(*opened.callers)
    await asyncio.gather(*opened.callers.values(), return_exceptions=True)
    await settle()
    opened.assert_nothing_left()
    await opened.queue.close()


async def test_a_free_quota_lets_through_at_once() -> None:
    async with place(Allowance(5, 5)) as here:
        await here.come("a1", "b1")
        assert ["a1", "b1"] == here.order
        assert 2 == len(here.waits.seconds)
        assert max(here.waits.seconds) < 0.1
        assert here.queue._server is None, "without waiters there is no task"


async def test_what_leaves_behind_its_turn_counts_from_then() -> None:
    async with place(Allowance(1, None, 0.2), timeout=1) as here:
        admission = here.queue.admit("a")
        async with admission:
            await asyncio.sleep(0.1)
            admission.sent()
            assert 0.2 < await here.queue.wait()


async def test_in_the_order_in_which_they_came() -> None:
    async with place(ONE_AT_ONCE) as here:
        await here.come("a1", "a2", "a3", "a4")
        assert ["a1"] == here.order
        assert ["a1", "a2", "a3", "a4"] == await here.end_all()


async def test_keys_take_turns() -> None:
    async with place(ONE_AT_ONCE) as here:
        await here.come("a1", "a2", "a3", "a4", "b1", "b2", "c1")
        assert ["a1", "b1", "c1", "a2", "b2", "a3", "a4"] == await here.end_all()


async def test_the_key_served_longest_ago_is_next() -> None:
    async with place(ONE_AT_ONCE) as here:
        await here.come("a1")
        await here.end("a1")
        await here.come("b1", "a2", "b2")
        assert ["a1", "b1", "a2", "b2"] == await here.end_all()


async def test_a_slot_given_back_is_taken_at_once() -> None:
    """Not only when somebody looks again."""
    async with place(Allowance(None, 2)) as here:
        await here.come("a1", "a2", "a3", "a4")
        await here.end("a2")
        assert ["a1", "a2", "a3"] == here.order


async def test_a_newcomer_does_not_overtake_in_the_moment_in_which_slots_become_free() -> None:
    """It may start one ticket, which goes to the one whose turn it is."""
    async with place(Allowance(None, 2)) as here:
        await here.come("a1", "a2", "b1")
        here._over["c1"] = asyncio.Event()
        here.callers["c1"] = asyncio.create_task(here._call("c1"))
        here.queue.leave("1")
        here.queue.leave("2")
        await settle()
        assert ["a1", "a2", "b1", "c1"] == here.order


async def test_the_window_is_waited_for() -> None:
    async with place(Allowance(2, None, 0.2)) as here:
        await here.come("a1", "a2", "a3", "a4", "a5")
        await here.end("a1", "a2")
        assert ["a1", "a2"] == here.order
        await until(lambda: len(here.order) == 5)
        waited = here.waits.seconds
        assert [True] * 3 == [0.19 < waited[2], 0.19 < waited[3], 0.39 < waited[4]]


async def test_one_that_cannot_be_served_in_time_is_refused_at_once() -> None:
    async with place(Allowance(2, None), timeout=30) as here:
        await here.come("a1", "b1")
        with pytest.raises(QuotaExceeded) as refused:
            async with asyncio.timeout(1), here.queue.admit("c"):
                pass
        assert 60 == refused.value.retry_after
        assert "the account's quota of 2 requests a minute is taken for the next 61 s" == str(refused.value)
        assert 429 == refused.value.status


@pytest.mark.parametrize(
    ("allowance", "words"),
    [
        (Allowance(1, None, 20), "the account's quota of 1 requests in 20 s is taken for the next 21 s"),
        (
            Allowance(1, 8, 20),
            "the account's quota of 1 requests in 20 s and 8 requests at once is taken for the next 21 s",
        ),
    ],
    ids=["requests", "both"],
)
async def test_a_refusal_says_what_is_taken(allowance: Allowance, words: str) -> None:
    async with place(allowance, timeout=10) as here:
        await here.come("a1")
        with pytest.raises(QuotaExceeded) as refused:
            await here.queue.enter("a")
        assert (words, 21) == (str(refused.value), refused.value.retry_after)


async def test_a_pause_refuses_those_who_would_not_wait_for_it() -> None:
    async with place(Allowance(None, None), timeout=2) as here:
        await here.queue.limited()
        with pytest.raises(QuotaExceeded) as refused:
            await here.queue.enter("a")
        assert ("the account has been limited: it is paused for the next 5 s", 5) == (
            str(refused.value), refused.value.retry_after,
        )  # fmt: skip


async def test_retry_after_is_true() -> None:
    async with place(Allowance(2, None, 0.95), timeout=0.1) as here:
        await here.come("a1", "a2")
        with pytest.raises(QuotaExceeded) as refused:
            await here.queue.enter("a")
        assert refused.value.retry_after == 1
        await asyncio.sleep(1)
        await here.come("a3")
        assert ["a1", "a2", "a3"] == here.order


async def test_who_waits_too_long_for_a_slot_is_refused() -> None:
    async with place(ONE_AT_ONCE, timeout=0.1) as here:
        await here.come("a1", "b1")
        await until(lambda: here.refused == ["b1"])
        assert 10 == await here.queue.wait(), "nobody waits any more"
        with pytest.raises(QuotaExceeded) as refused:
            await here.queue.enter("b")
        assert ("the account's quota of 1 requests at once is taken for the next 10 s", 10) == (
            str(refused.value), refused.value.retry_after,
        )  # fmt: skip


async def test_a_turn_that_comes_with_the_timeout_is_taken() -> None:
    async with place(ONE_AT_ONCE, timeout=0.05) as here:
        await here.come("a1", "b1")
        time.sleep(0.1)  # noqa: ASYNC251 - the timer is due when the loop goes on, behind what is called first
        asyncio.get_running_loop().call_soon(here.give_turn)
        await settle()
        assert (["a1", "b1"], []) == (here.order, here.refused)


async def test_a_turn_that_comes_to_one_who_leaves_is_passed_on() -> None:
    async with place(ONE_AT_ONCE) as here:
        await here.come("a1", "b1", "c1")
        here.give_turn()
        await here.leave("b1")
        assert ["a1", "c1"] == here.order


async def test_a_newcomer_takes_the_place_of_one_of_many() -> None:
    """Of a key that has at least two more waiters the newest one is refused instead."""
    async with place(Allowance(3, None), timeout=61) as here:
        await here.come("a1", "a2", "a3", "a4", "a5", "a6", "a7")
        assert ["a7"] == here.refused
        await here.come("b1")
        assert ["a7", "a6"] == here.refused
        await here.come("b2", "c1", "c2")
        assert ["a7", "a6", "b2", "a5", "c2"] == here.refused
        assert ["a", "b", "c"] == sorted(here.queue._lines._lines)


async def test_the_wait_counts_those_who_wait() -> None:
    async with place(Allowance(1, None)) as here:
        assert 0 == await here.queue.wait()
        await here.come("a1")
        assert 60 == pytest.approx(await here.queue.wait(), abs=1)
    async with place(Allowance(1, None), timeout=100) as here:
        await here.come("a1", "a2")
        assert 120 == pytest.approx(await here.queue.wait(), abs=1)


async def test_closing_refuses_those_who_wait() -> None:
    async with place(ONE_AT_ONCE) as here:
        await here.come("a1")
        waiting = asyncio.create_task(here.queue.enter("b"))
        await settle()
        await here.queue.close()
        with pytest.raises(Draining):
            await waiting
        with pytest.raises(Draining):
            await here.queue.enter("b")
        assert {"1"} == set(here.ledger.ages()["running"]), "what is under way goes on"


# Those who leave --------------------------------------------------------------------------------------------------


class SlowLedger(MemoryLedger):
    """Answers only after a few turns of the loop, as one elsewhere would; gives back what nobody waits for."""

    async def reserve(self, ticket: str, patience: float) -> Reservation:
        try:
            await turns(3)
            given = await super().reserve(ticket, patience)
            await turns(3)
        except asyncio.CancelledError:
            self.cancel(ticket)
            raise
        return given

    async def start(self, ticket: str) -> float:
        await turns(3)
        again = await super().start(ticket)
        await turns(3)
        return again


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


KINDS = pytest.mark.parametrize("kind", [MemoryLedger, SlowLedger])
Kind = Callable[[Allowance], MemoryLedger]


@KINDS
@pytest.mark.parametrize("allowance", [ONE_AT_ONCE, Allowance(2, None, 0.02)], ids=["slots", "window"])
async def test_leaving_at_any_point_loses_nothing(kind: Kind, allowance: Allowance) -> None:
    """Whether it still asks, waits, or has just been given its turn: the one behind it gets it."""
    for point in range(30):
        async with place(allowance, ledger=kind(allowance)) as here:
            await here.come("a1")
            await turns(20)
            await here.come("a2")
            here._over["b1"] = asyncio.Event()
            leaver = asyncio.create_task(here._call("b1"))
            await turns(point // 2)
            here._over["a1"].set()
            here._over["a2"].set()
            await turns(point - point // 2)
            leaver.cancel()
            await here.come("c1")
            await until(lambda: "c1" in here.order)
            await asyncio.wait([leaver])
            await here.end_all()
            await asyncio.gather(*here.callers.values())
            here.assert_nothing_left()


@KINDS
async def test_the_last_one_to_leave_takes_the_task_along(kind: Kind) -> None:
    """At once, not only when its turn would have come in a minute."""
    for point in range(30):
        async with place(Allowance(1, None), timeout=100, ledger=kind(Allowance(1, None))) as here:
            await here.come("a1")
            await here.end("a1")
            leaver = asyncio.create_task(here.queue.enter("b"))
            await turns(point)
            leaver.cancel()
            await turns(20)
            here.assert_nothing_left()


@KINDS
@pytest.mark.parametrize("seed", range(5))
async def test_a_storm_of_leavers_leaves_nothing_behind(kind: Kind, seed: int) -> None:
    dice = random.Random(seed)
    allowance = Allowance(20, 3, 0.1)
    async with place(allowance, timeout=dice.choice([0.05, 5]), ledger=kind(allowance)) as here:
        for number in range(200):
            name = f"{dice.choice('abc')}{number}"
            here._over[name] = asyncio.Event()
            here.callers[name] = asyncio.create_task(here._call(name))
            if dice.random() < 0.5:
                here._over[name].set()
            if dice.random() < 0.7:
                leaver = dice.choice(list(here.callers))
                (here.callers[leaver].cancel if dice.random() < 0.8 else here._over[leaver].set)()
            await turns(dice.choice([0, 0, 1, 2, 5]))
        for name, caller in here.callers.items():
            here._over[name].set()
            if dice.random() < 0.8:
                caller.cancel()
        await asyncio.wait(here.callers.values(), timeout=20)
        assert not [name for name, caller in here.callers.items() if not caller.done()]
        await settle()
        here.assert_nothing_left()
