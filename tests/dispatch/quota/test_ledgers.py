"""The book of an account: one suite for the one in memory and the one in Redis."""

from collections.abc import Sequence

import pytest

from proxy.dispatch.quota.ledger import Allowance, Ledger, Reservation
from tests.dispatch.quota.support import Shop

pytestmark = pytest.mark.parametrize("shop", ["memory", "redis"], indirect=True)

TWO = Allowance(2, None)
SPACING = 60.05
PATIENT = 1000.0


async def start_all(ledger: Ledger, tickets: str) -> str:
    """Those of the tickets, a letter each, that may start now."""
    return "".join([ticket for ticket in tickets if await ledger.start(ticket) == 0])


async def reserve_all(ledger: Ledger, tickets: str, patience: float = PATIENT) -> Sequence[Reservation]:
    return [await ledger.reserve(ticket, patience) for ticket in tickets]


def waits(reservations: Sequence[Reservation]) -> list[float]:
    return [round(reservation.wait, 3) for reservation in reservations]


async def test_whoever_is_over_the_limit_waits_for_a_window_to_pass(shop: Shop) -> None:
    ledger = shop.open(TWO)
    given = await reserve_all(ledger, "abcdefg")
    assert ["started"] * 2 + ["waiting"] * 5 == [reservation.outcome for reservation in given]
    assert [0, 0, SPACING, SPACING, 2 * SPACING, 2 * SPACING, 3 * SPACING] == pytest.approx(waits(given))
    await shop.pass_time(SPACING - 0.01)
    assert "" == await start_all(ledger, "cdefg")
    await shop.pass_time(0.01)
    assert "cd" == await start_all(ledger, "cdefg")


async def test_the_window_slides(shop: Shop) -> None:
    ledger = shop.open(TWO)
    await ledger.reserve("a", 0)
    await shop.pass_time(20)
    await ledger.reserve("b", 0)
    assert [40.05, 60.05, 100.1] == waits(await reserve_all(ledger, "cde"))


async def test_an_impatient_one_is_told_the_wait_and_leaves_nothing(shop: Shop) -> None:
    ledger = shop.open(TWO)
    await reserve_all(ledger, "ab")
    for _ in range(3):
        (given,) = await reserve_all(ledger, "c", patience=60)
        assert "refused" == given.outcome
        assert SPACING == pytest.approx(given.wait)
    assert [SPACING, SPACING] == waits(await reserve_all(ledger, "de"))


async def test_a_place_given_back_moves_the_others_up(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, None))
    await reserve_all(ledger, "abcd")
    ledger.cancel("b")
    assert 3 * SPACING == pytest.approx(await ledger.wait())
    await shop.pass_time(SPACING)
    assert "c" == await start_all(ledger, "cd")


async def test_another_allowance_counts_at_once_for_what_was_sent_before_as_well(shop: Shop) -> None:
    ledger = shop.open(TWO)
    await reserve_all(ledger, "abcde")
    ledger.allow(Allowance(3, None))
    assert 3 == (ledger.allowance.requests or 0)
    assert "c" == await start_all(ledger, "cde"), "those who wait keep their places"
    ledger.allow(Allowance(1, None))
    await shop.pass_time(SPACING)
    assert "d" == await start_all(ledger, "de")


async def test_a_request_that_was_not_sent_does_not_count(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, 1))
    await ledger.reserve("a", 0)
    ledger.cancel("a")
    ledger.cancel("a")
    assert ["started"] == [reservation.outcome for reservation in await reserve_all(ledger, "b")]


async def test_a_request_that_is_over_still_counts(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, 1))
    await ledger.reserve("a", 0)
    ledger.finish("a")
    ledger.cancel("a")
    assert ["refused"] == [reservation.outcome for reservation in await reserve_all(ledger, "b", patience=10)]


async def test_no_more_at_once_than_slots(shop: Shop) -> None:
    ledger = shop.open(Allowance(None, 2))
    given = await reserve_all(ledger, "abcd")
    assert ["started", "started", "waiting", "waiting"] == [reservation.outcome for reservation in given]
    assert [0, 0, 0, 0] == waits(given)
    assert "" == await start_all(ledger, "cd")
    ledger.finish("a")
    assert "c" == await start_all(ledger, "cd")


async def test_first_come_first_served(shop: Shop) -> None:
    """Neither a newcomer nor one who asks more often gets the slot that another one waits for."""
    ledger = shop.open(Allowance(None, 1))
    await reserve_all(ledger, "abc")
    ledger.finish("a")
    assert ["waiting"] == [reservation.outcome for reservation in await reserve_all(ledger, "d")]
    assert "" == await start_all(ledger, "dc")
    assert "b" == await start_all(ledger, "b")


async def test_one_that_starts_late_counts_from_then(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, 1))
    await reserve_all(ledger, "abc")
    await shop.pass_time(SPACING + 30)
    assert "" == await start_all(ledger, "b"), "the slot is taken"
    ledger.finish("a")
    assert "b" == await start_all(ledger, "b")
    ledger.finish("b")
    await shop.pass_time(SPACING - 30)
    assert "" == await start_all(ledger, "c"), "this is when it was due first"
    await shop.pass_time(30)
    assert "c" == await start_all(ledger, "c")


async def test_one_that_leaves_behind_its_start_counts_from_then(shop: Shop) -> None:
    """A login may come between; it is not that long before the window is over."""
    ledger = shop.open(TWO)
    await reserve_all(ledger, "abcd")
    await shop.pass_time(20)
    ledger.sent("a")
    await shop.pass_time(SPACING - 20)
    assert "c" == await start_all(ledger, "cd"), "in the place of b"
    await shop.pass_time(19)
    assert "" == await start_all(ledger, "d")
    await shop.pass_time(1)
    assert "d" == await start_all(ledger, "d")
    assert 0 == ledger.sent("nobody")


async def test_one_that_leaves_a_window_behind_its_start_counts(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, None))
    await reserve_all(ledger, "a")
    await shop.pass_time(100)
    ledger.sent("a")
    ledger.finish("a")
    assert [SPACING] == pytest.approx(waits(await reserve_all(ledger, "b")))
    ledger.sent("a")
    assert SPACING == pytest.approx((await ledger.reserve("c", 0)).wait - SPACING), "it is over"


async def test_who_asks_too_early_is_told_when_to_ask_again(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, 1))
    await reserve_all(ledger, "ab")
    assert 1.0 == await ledger.start("b"), "long before: things may change"
    await shop.pass_time(60)
    assert 0.05 == pytest.approx(await ledger.start("b"))
    await shop.pass_time(1)
    assert 0.05 == await ledger.start("b"), "the slot is taken: nobody knows for how long"


async def test_a_ticket_that_the_book_lost_joins_the_end(shop: Shop) -> None:
    ledger = shop.open(Allowance(None, 1))
    await reserve_all(ledger, "ab")
    assert 0 < await ledger.start("lost")
    ledger.finish("a")
    assert 0 < await ledger.start("lost")
    assert 0 == await ledger.start("b")
    ledger.finish("b")
    assert 0 == await ledger.start("lost")


async def test_the_wait_of_a_newcomer(shop: Shop) -> None:
    ledger = shop.open(Allowance(2, None))
    assert 0 == await ledger.wait()
    await reserve_all(ledger, "abc")
    assert SPACING == pytest.approx(await ledger.wait())
    await reserve_all(ledger, "d")
    assert 2 * SPACING == pytest.approx(await ledger.wait())


async def test_the_wait_for_a_slot_is_estimated(shop: Shop) -> None:
    ledger = shop.open(Allowance(None, 2))
    await reserve_all(ledger, "ab")
    assert 10 / 2 == await ledger.wait(), "until one has ended, a request is taken to last 10 s"
    await shop.pass_time(50)
    ledger.finish("a")
    assert 0 == await ledger.wait()
    await reserve_all(ledger, "cd")
    assert 15 == (10 * 7 + 50) / 8
    assert 2 * 15 / 2 == await ledger.wait()


async def test_after_a_429_a_pause_and_half_the_rate(shop: Shop) -> None:
    ledger = shop.open(Allowance(4, None))
    await reserve_all(ledger, "a")
    await ledger.limited()
    given = await reserve_all(ledger, "bcde")
    assert [5, SPACING, SPACING + 5, 2 * SPACING] == pytest.approx(waits(given)), "two in a window, behind the pause"
    await shop.pass_time(4.9)
    assert "" == await start_all(ledger, "bc")
    await shop.pass_time(0.1)
    assert "b" == await start_all(ledger, "bc")


async def test_a_pause_may_outlast_the_window(shop: Shop) -> None:
    ledger = shop.open(Allowance(1, None, 2))
    await reserve_all(ledger, "a")
    await ledger.limited()
    assert [5, 7.05] == pytest.approx(waits(await reserve_all(ledger, "bc")))


async def test_the_rate_comes_back_step_by_step(shop: Shop) -> None:
    ledger = shop.open(Allowance(10, None))
    await ledger.limited()
    await shop.pass_time(5)
    allowed = []
    for _ in range(6):
        tickets = "abcdefghijkl"
        started = [given for given in await reserve_all(ledger, tickets, patience=0) if given.outcome == "started"]
        allowed.append(len(started))
        for ticket in tickets:
            ledger.cancel(ticket)
        await shop.pass_time(6)
    assert [5, 6, 7, 8, 9, 10] == allowed


async def test_pauses_double_until_the_rate_is_back(shop: Shop) -> None:
    ledger = shop.open(Allowance(10, None))
    pauses = []
    for _ in range(6):
        await ledger.limited()
        pauses.append(await ledger.wait())
        await shop.pass_time(pauses[-1])
    assert [5, 10, 20, 40, 60, 60] == pauses
    await shop.pass_time(61)
    await ledger.limited()
    assert 5 == await ledger.wait()


async def test_429s_during_a_pause_count_once(shop: Shop) -> None:
    ledger = shop.open(Allowance(10, None))
    for _ in range(5):
        await ledger.limited()
        await shop.pass_time(0.5)
    assert 2.5 == await ledger.wait()


async def test_one_request_is_always_allowed(shop: Shop) -> None:
    ledger = shop.open(Allowance(2, None))
    for _ in range(4):
        await ledger.limited()
        await shop.pass_time(await ledger.wait())
    assert ["started", "refused"] == [given.outcome for given in await reserve_all(ledger, "ab", patience=0)]


async def test_without_a_limit_only_the_pause_counts(shop: Shop) -> None:
    ledger = shop.open(Allowance(None, None))
    tickets = "abcdefghijklmnopqrstuvwxyz"
    assert {"started"} == {given.outcome for given in await reserve_all(ledger, tickets)}
    await ledger.limited()
    assert [Reservation("refused", 5.0)] == await reserve_all(ledger, "1", patience=4)
    assert [Reservation("waiting", 5.0)] == await reserve_all(ledger, "2", patience=5)
    await shop.pass_time(5)
    assert "2" == await start_all(ledger, "2")


@pytest.mark.parametrize(
    ("window", "spacing"), [(60, 60.05), (2, 2.05), (1, 1.03), (0.1, 0.103)], ids=["minute", "2 s", "1 s", "100 ms"]
)
async def test_the_slack_takes_little_of_a_small_window(shop: Shop, window: float, spacing: float) -> None:
    ledger = shop.open(Allowance(1, None, window))
    assert [0, spacing] == pytest.approx(waits(await reserve_all(ledger, "ab")))


async def test_the_clock_jumps_over_several_windows(shop: Shop) -> None:
    ledger = shop.open(Allowance(2, None))
    await reserve_all(ledger, "abcde")
    await shop.pass_time(1000)
    assert "cd" == await start_all(ledger, "cde"), "it is no reason to send all that waited"
