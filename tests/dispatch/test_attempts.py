"""Retries, other deployments and fallbacks: what is sent where, after how long, and what the caller is told."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from proxy.config.settings import Routing
from proxy.core.callers.chat import ChatStream
from proxy.core.turn import Turn
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch.attempts import Attempts
from proxy.dispatch.cooldowns import LocalCooldowns
from proxy.dispatch.credentials import NoCredential
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.health import Health
from proxy.dispatch.router import Router
from proxy.errors import (
    ConnectTimeout,
    ContextTooLong,
    CreditSpent,
    FirstTokenTimeout,
    IdleTimeout,
    InvalidRequest,
    PassedOn,
    ProxyError,
    QuotaExceeded,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTLS,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from tests.core.test_stackspot import sse
from tests.support.calls import a_call

BUSY = UpstreamFailed("503", status=503)
SILENT = FirstTokenTimeout("nothing")


def a_deployment(name: str, label: str, *, weight: float = 1) -> Deployment:
    return Deployment(
        name=name,
        provider="p",
        label=label,
        base_url="http://x",
        upstream=StackSpot(label, "01AGENT", b"secret"),
        credential=NoCredential(),
        health=Health(label, 3, 5, LocalCooldowns()),
        weight=weight,
    )


@dataclass
class Run:
    """One request over deployments that fail as told: an error each, in order; after them they answer."""

    failures: dict[str, list[ProxyError]]
    names: dict[str, Sequence[str]] = field(default_factory=lambda: {"a": ["a1"]})
    fallbacks: dict[str, Sequence[str]] = field(default_factory=dict)
    routing: Routing = field(default_factory=Routing)
    tried: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        deployments = [a_deployment(name, label) for name, labels in self.names.items() for label in labels]
        self.router = Router(deployments, self.fallbacks)
        self.attempts = Attempts(self.router, self.routing, self)
        self.failures = {label: list(errors) for label, errors in self.failures.items()}

    async def __call__(self) -> None:
        call = a_call("Hi", stream=True)
        self.turn = Turn(call, ChatStream)
        await self.attempts.run(self.router.find("a"), self.turn, self.answer)

    async def answer(self, deployment: Deployment, has_fallback: bool) -> None:
        self.tried.append(deployment.label)
        error = next(iter(self.failures.get(deployment.label, [])), None)
        if error is not None:
            self.failures[deployment.label].pop(0)
        if isinstance(error, InvalidRequest | QuotaExceeded):  # found out before anything is sent
            raise error
        self.turn.begin(deployment.upstream)
        if error is not None:
            raise error

    def retried(self, failed: Deployment, error: ProxyError, delay: float) -> None:
        self.told.append(f"{failed.label} again")

    def fell_back(self, failed: Deployment, error: ProxyError, to: str) -> None:
        self.told.append(f"{failed.label} to {to}")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept, without the time that it takes."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


MENDED = [BUSY, UpstreamRateLimited("429"), UpstreamUnreachable("refused"), ConnectTimeout("slow")]


@pytest.mark.parametrize("error", MENDED, ids=lambda error: type(error).__name__)
async def test_what_a_retry_can_mend_is_sent_again(slept: list[float], error: ProxyError) -> None:
    run = Run({"a1": [error, error]})
    await run()
    assert ["a1", "a1", "a1"] == run.tried
    assert ["a1 again", "a1 again"] == run.told
    assert all(0 <= seconds <= 8 for seconds in slept)
    assert 2 == len(slept)


NOT_MENDED = [UpstreamAuth, UpstreamForbidden, UpstreamNotFound, UpstreamRejected, UpstreamTLS, CreditSpent, ContextTooLong, UpstreamTruncated, FirstTokenTimeout, IdleTimeout, InvalidRequest, QuotaExceeded]  # fmt: skip


@pytest.mark.parametrize("kind", NOT_MENDED)
async def test_what_it_cannot_mend_is_told_at_once(slept: list[float], kind: type[ProxyError]) -> None:
    run = Run({"a1": [kind("x")]})
    with pytest.raises(kind):
        await run()
    assert (["a1"], []) == (run.tried, slept)


async def test_retries_end(slept: list[float]) -> None:
    run = Run({"a1": [BUSY] * 9}, routing=Routing(num_retries=1))
    with pytest.raises(UpstreamFailed):
        await run()
    assert ["a1", "a1"] == run.tried


async def test_the_ceiling_holds_over_all_of_it(slept: list[float]) -> None:
    run = Run({"a1": [BUSY] * 9}, routing=Routing(num_retries=9, max_upstream_calls=4))
    with pytest.raises(UpstreamFailed):
        await run()
    assert 4 == len(run.tried)


async def test_one_is_kept_for_each_fallback(slept: list[float]) -> None:
    names = {"a": ["a1"], "b": ["b1"], "c": ["c1"]}
    run = Run({"a1": [BUSY] * 9, "b1": [BUSY] * 9}, names, {"a": ["b", "c"]}, Routing(num_retries=9))
    await run()
    assert ["a1", "a1", "b1", "c1"] == run.tried


async def test_a_retry_after_is_honoured(slept: list[float]) -> None:
    run = Run({"a1": [UpstreamRateLimited("429", retry_after=7)]})
    await run()
    assert [7 <= seconds < 16 for seconds in slept] == [True]


async def test_one_too_long_is_not_waited_for(slept: list[float]) -> None:
    error = UpstreamRateLimited("429", retry_after=61)
    run = Run({"a1": [error]})
    with pytest.raises(UpstreamRateLimited):
        await run()
    assert ["a1"] == run.tried
    run = Run({"a1": [error]}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    await run()
    assert (["a1", "b1"], []) == (run.tried, slept)


async def test_the_other_deployment_of_a_name_is_asked_without_delay(slept: list[float]) -> None:
    run = Run({"a1": [BUSY] * 9, "a2": [BUSY] * 9}, {"a": ["a1", "a2"]})
    with pytest.raises(UpstreamFailed):
        await run()
    assert ["a1", "a2"] == sorted(run.tried[:2])
    assert [True, False] == [seconds == 0 for seconds in slept]


MOVES_ON = [BUSY, UpstreamRateLimited("429"), UpstreamUnreachable("refused"), ConnectTimeout("slow"), SILENT, CreditSpent("no more"), QuotaExceeded("full")]  # fmt: skip


@pytest.mark.parametrize("error", MOVES_ON, ids=lambda error: type(error).__name__)
async def test_fallbacks(slept: list[float], error: ProxyError) -> None:
    run = Run({"a1": [error] * 9}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    await run()
    assert ("b1", "a1 to b") == (run.tried[-1], run.told[-1])
    waits = error.repeatable and not isinstance(
        error, UpstreamRateLimited
    )  # for that, the fallback is not kept waiting
    again = 3 if waits else 1
    assert again == run.tried.count("a1")


WAIT = {"a limit": UpstreamRateLimited("429", retry_after=2), "a fault": UpstreamFailed("503", retry_after=2)}


@pytest.mark.parametrize("case", WAIT)
async def test_a_fallback_is_asked_at_once_where_a_retry_would_wait(slept: list[float], case: str) -> None:
    run = Run({"a1": [WAIT[case]] * 9}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    await run()
    assert (["a1", "b1"], []) == (run.tried, slept)


STAYS = [UpstreamAuth, UpstreamForbidden, UpstreamNotFound, ContextTooLong, UpstreamTruncated, IdleTimeout, InvalidRequest]  # fmt: skip


@pytest.mark.parametrize("kind", STAYS)
async def test_no_fallback_for_what_would_happen_there_too(slept: list[float], kind: type[ProxyError]) -> None:
    run = Run({"a1": [kind("x")]}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    with pytest.raises(kind):
        await run()
    assert ["a1"] == run.tried


async def test_nothing_is_tried_again_once_something_went_out(slept: list[float]) -> None:
    run = Run({"a1": [BUSY]}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})

    async def answer(deployment: Deployment, _: bool) -> None:
        run.tried.append(deployment.label)
        run.turn.begin(deployment.upstream)
        run.turn.receive_data(sse({"message": "Hello"}))
        raise BUSY

    run.answer = answer  # type: ignore[method-assign]
    with pytest.raises(UpstreamFailed):
        await run()
    assert ["a1"] == run.tried


async def test_nothing_is_sent_again_once_the_upstream_has_begun_to_answer(slept: list[float]) -> None:
    run = Run({}, {"a": ["a1"]})

    async def answer(deployment: Deployment, _: bool) -> None:
        run.tried.append(deployment.label)
        run.turn.begin(deployment.upstream)
        run.turn.receive_data(sse({"message": ""}))
        raise UpstreamRateLimited("inside the stream")

    run.answer = answer  # type: ignore[method-assign]
    with pytest.raises(UpstreamRateLimited):
        await run()
    assert ["a1"] == run.tried


async def test_a_fallback_that_cannot_take_the_request_is_passed_over(slept: list[float]) -> None:
    refused = [PassedOn("too many tokens", status=400, fields={})]
    run = Run({"a1": [SILENT], "b1": [InvalidRequest("n")]}, {"a": ["a1"], "b": ["b1"], "c": ["c1"]}, {"a": ["b", "c"]})
    await run()
    assert ["a1", "b1", "c1"] == run.tried
    run = Run({"a1": [SILENT], "b1": refused}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    with pytest.raises(FirstTokenTimeout):
        await run()


async def test_what_the_last_fallback_ended_with_is_told(slept: list[float]) -> None:
    run = Run({"a1": [SILENT], "b1": [UpstreamAuth("no")]}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    with pytest.raises(UpstreamAuth):
        await run()


async def test_a_failing_upstream_is_not_stormed(slept: list[float]) -> None:
    run = Run({"a1": [BUSY] * 1000}, routing=Routing(num_retries=3))
    for _ in range(100):
        with pytest.raises(UpstreamFailed):
            await run()
    assert 120 == len(run.tried), "a fifth of a hundred"


async def test_no_retry_where_the_upstream_remembers(slept: list[float]) -> None:
    run = Run({"a1": [BUSY]}, {"a": ["a1"], "b": ["b1"]}, {"a": ["b"]})
    upstream = StackSpot("m", "01AGENT", b"secret", remembers=True)

    async def answer(deployment: Deployment, _: bool) -> None:
        run.tried.append(deployment.label)
        run.turn.begin(upstream)
        run.turn.refused(BUSY)
        raise BUSY

    run.answer = answer  # type: ignore[method-assign]
    with pytest.raises(UpstreamFailed):
        await run()
    assert ["a1"] == run.tried


async def test_load_is_shared_by_weight() -> None:
    router = Router([a_deployment("a", "light"), a_deployment("a", "heavy", weight=3)], {})
    group = router.find("a")
    chosen = Counter([(await group.choose()).label for _ in range(4000)])
    assert 0.7 < chosen["heavy"] / 4000 < 0.8


async def test_a_cooled_deployment_is_left_out_and_the_last_one_never() -> None:
    one, other = a_deployment("a", "one"), a_deployment("a", "other")
    group = Router([one, other], {}).find("a")
    for deployment in (one, other):
        with pytest.raises(UpstreamRateLimited):
            async with deployment.health.trial():
                raise UpstreamRateLimited("429", retry_after=20 if deployment is one else 30)
        expected = {"other"} if deployment is one else {"one"}
        assert expected == {(await group.choose()).label for _ in range(50)}
