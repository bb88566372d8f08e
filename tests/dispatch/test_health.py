"""Cool-downs: when they begin, and how a single probe ends them."""

import asyncio

import pytest

from proxy.dispatch.cooldowns import LocalCooldowns
from proxy.dispatch.health import LOOK_AGAIN_S, PROBE_S, Health
from proxy.errors import (
    ConnectTimeout,
    ContextTooLong,
    CreditSpent,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidRequest,
    ProxyError,
    QuotaExceeded,
    ToolCallUnreadable,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tests.support.clock import Clock

FAILED = UpstreamFailed("503")


def a_health(clock: Clock, *, allowed_fails: int = 1, cooldowns: LocalCooldowns | None = None) -> Health:
    return Health("id", allowed_fails, 5, cooldowns or LocalCooldowns(clock), clock)


async def fail(health: Health, error: ProxyError = FAILED) -> None:
    with pytest.raises(type(error)):
        async with health.trial():
            raise error


async def succeed(health: Health) -> None:
    async with health.trial():
        pass


async def test_more_failures_in_a_row_than_allowed() -> None:
    health = a_health(Clock())
    await fail(health)
    await succeed(health)
    await fail(health)
    assert health.fit()
    await fail(health)
    assert not health.fit()
    assert 5 == health.cooling


async def test_a_probe_that_succeeds_ends_it() -> None:
    clock = Clock()
    health = a_health(clock, allowed_fails=0)
    await fail(health)
    clock.now += 5
    assert health.fit()
    assert await health.claim()
    assert not health.fit(), "one probe at a time"
    await succeed(health)
    assert health.fit()
    assert await health.claim()
    assert health.fit(), "no probe any more"


async def test_a_probe_that_fails_begins_it_anew() -> None:
    clock = Clock()
    health = a_health(clock, allowed_fails=3)
    for _ in range(4):
        await fail(health)
    clock.now += 5
    await health.claim()
    await fail(health)
    assert 5 == health.cooling


async def test_a_probe_whose_caller_leaves_says_nothing() -> None:
    clock = Clock()
    health = a_health(clock, allowed_fails=0)
    await fail(health)
    clock.now += 5
    await health.claim()
    with pytest.raises(asyncio.CancelledError):
        async with health.trial():
            raise asyncio.CancelledError
    assert health.fit()
    assert await health.claim()


async def test_a_probe_without_end_is_not_waited_for_for_ever() -> None:
    clock = Clock()
    health = a_health(clock, allowed_fails=0)
    await fail(health)
    clock.now += 5
    await health.claim()
    clock.now += PROBE_S
    assert health.fit()


AT_ONCE = {"a limit": UpstreamRateLimited("429", retry_after=30), "spent credit": CreditSpent("no more")}


@pytest.mark.parametrize("case", AT_ONCE)
async def test_some_begin_it_at_once(case: str) -> None:
    health = a_health(Clock(), allowed_fails=10)
    await fail(health, AT_ONCE[case])
    assert (AT_ONCE[case].retry_after or 5) == health.cooling


BLAMED = [ConnectTimeout, FirstTokenTimeout, IdleTimeout, UpstreamAuth, UpstreamFailed, UpstreamForbidden, UpstreamNotFound, UpstreamTruncated, UpstreamUnreachable]  # fmt: skip
NOT_BLAMED = [ContextTooLong, InvalidRequest, QuotaExceeded, ToolCallUnreadable, UpstreamRejected]


@pytest.mark.parametrize("kind", [*BLAMED, *NOT_BLAMED])
async def test_whose_fault_it_is(kind: type[ProxyError]) -> None:
    health = a_health(Clock(), allowed_fails=0)
    await fail(health, kind("x"))
    assert (kind in NOT_BLAMED) is health.fit()


async def test_replicas_share_it() -> None:
    clock = Clock()
    shared = LocalCooldowns(clock)
    one, other = (a_health(clock, allowed_fails=0, cooldowns=shared) for _ in range(2))
    await fail(one)
    assert not other.fit()
    clock.now += 5
    assert await one.claim()
    assert other.fit()
    assert not await other.claim(), "a single probe among all"
    assert not other.fit()
    await succeed(one)
    clock.now += LOOK_AGAIN_S
    assert other.fit()
    assert await other.claim()


async def test_a_probe_that_was_given_up_is_free_for_others_in_time() -> None:
    clock = Clock()
    shared = LocalCooldowns(clock)
    one, other = (a_health(clock, allowed_fails=0, cooldowns=shared) for _ in range(2))
    await fail(one)
    assert not other.fit()
    clock.now += 5
    assert await one.claim()
    clock.now += PROBE_S
    assert await other.claim()
