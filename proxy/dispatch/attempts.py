"""The tries of one request: how often, how long apart, and where next."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from proxy.config.settings import Routing
from proxy.core.turn import Turn
from proxy.dispatch.budget import RetryBudget
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.quota.queue import Queue
from proxy.dispatch.router import Group, Router
from proxy.errors import CallerError, ProxyError, UpstreamRateLimited

PATIENCE_S = 60
"""The longest Retry-After that is waited for; beyond it the caller is told, or a fallback asked."""

BACKOFF = wait_random_exponential(multiplier=0.5, max=8)

Answer = Callable[[Deployment, bool], Awaitable[None]]
"""Has a deployment answer; the second says that a fallback is ready, so that the quota is not waited for."""


class RetryObserver(Protocol):
    def retried(self, failed: Deployment, error: ProxyError, delay: float) -> None: ...
    def fell_back(self, failed: Deployment, error: ProxyError, to: str) -> None: ...


class Attempts:
    """Has a request answered by a deployment of its name, else by a fallback. Everything that is sent for it,
    repairs included, counts towards one ceiling. Retries leave one of it for each fallback; repairs may use it all,
    since no fallback serves what they mend."""

    def __init__(self, router: Router, routing: Routing, observer: RetryObserver) -> None:
        self._router = router
        self._routing = routing
        self._observer = observer
        self._budget = RetryBudget()

    async def run(self, group: Group, turn: Turn, answer: Answer) -> None:
        """Has ``answer`` try deployments until one of them answers. Raises what the last try ended with."""
        self._budget.count_request()
        way, ready = await self._by_delay(self._router.way(group))
        ceiling = turn.ceiling = self._routing.max_upstream_calls
        failure: tuple[Deployment, ProxyError] | None = None
        for number, leg in enumerate(way):
            if failure is not None:
                self._observer.fell_back(*failure, to=leg.name)
            rounds = ceiling - (len(way) - 1 - number)
            has_fallback = number + 1 < ready
            tries = _Tries(leg, turn, self._routing.num_retries, rounds, self._budget, self._observer, has_fallback)
            try:
                return await tries.run(answer)
            except ProxyError as error:
                if failure is None or turn.committed or not isinstance(error, CallerError):
                    failure = tries.tried[-1], error  # a fallback that cannot take the request is not what failed
            last = number == len(way) - 1 or turn.rounds >= ceiling
            if last or not turn.moves_on(failure[1]):
                break
        assert failure is not None
        raise failure[1]

    async def _by_delay(self, way: Sequence[Group]) -> tuple[Sequence[Group], int]:
        """A healthy fallback is not kept waiting: names whose accounts would delay the request come last, the shortest
        delay first. Also how many would not."""
        if len(way) == 1:
            return way, 1
        delays = {leg.name: await leg.delay() for leg in way}
        ordered = sorted(way, key=lambda leg: delays[leg.name])
        first, passed = way[0], way[0].deployments[0]
        if ordered[0] is not first and passed.quota is not None:
            self._observer.fell_back(passed, passed.quota.exceeded(delays[first.name]), to=ordered[0].name)
        return ordered, list(delays.values()).count(0.0)


class _Tries:
    """The tries within one group. At most ``retries`` are repeated, while the turn has had fewer than ``rounds``."""

    def __init__(
        self,
        group: Group,
        turn: Turn,
        retries: int,
        rounds: int,
        budget: RetryBudget,
        observer: RetryObserver,
        has_fallback: bool,
    ) -> None:
        self.tried: list[Deployment] = []
        self._group = group
        self._turn = turn
        self._retries = retries
        self._rounds = rounds
        self._budget = budget
        self._observer = observer
        self._has_fallback = has_fallback

    async def run(self, answer: Answer) -> None:
        try:
            await self._try(answer)
        except ProxyError as error:
            if not self._turn.repeats(error):
                raise
            first = error
        else:
            return
        retrying = AsyncRetrying(retry=self._again, wait=self._delay, before_sleep=self._tell)
        try:
            async for attempt in retrying:
                with attempt:
                    if attempt.retry_state.attempt_number == 1:
                        raise first  # nothing of all this is made for requests that do not fail
                    await self._try(answer)
        finally:
            vars(retrying).clear()  # it stands in circles, which would keep the request until the collector comes by
            first.__traceback__ = None

    async def _try(self, answer: Answer) -> None:
        deployment = await self._group.choose(self.tried)
        self.tried.append(deployment)
        try:
            async with deployment.health.trial():
                await answer(deployment, self._has_fallback)
        except UpstreamRateLimited as error:
            if deployment.quota is not None:
                error.retry_after = await _pause(deployment.quota)
            raise

    def _again(self, state: RetryCallState) -> bool:
        error = _error(state)
        return (
            error is not None
            and self._turn.repeats(error)
            and state.attempt_number <= self._retries
            and self._turn.rounds < self._rounds
            and (self._group.others(self.tried) or self._waits_for(error))
            and self._budget.take()
        )

    def _waits_for(self, error: ProxyError) -> bool:
        """The deployment that failed is worth the time that it asked for."""
        if self._has_fallback:
            return not (error.retry_after or isinstance(error, UpstreamRateLimited))
        return (error.retry_after or 0) <= PATIENCE_S

    def _delay(self, state: RetryCallState) -> float:
        """None towards another deployment, nor where the quota's queue does the waiting."""
        error, queued = _error(state), self.tried[-1].quota is not None
        if self._group.others(self.tried) or (queued and isinstance(error, UpstreamRateLimited)):
            return 0.0
        return max(BACKOFF(state), (error.retry_after if error else None) or 0)

    def _tell(self, state: RetryCallState) -> None:
        error = _error(state)
        assert error is not None, "only failures are retried"
        self._observer.retried(self.tried[-1], error, state.upcoming_sleep)


async def _pause(quota: Queue) -> int:
    """The account was asked for more than it may: all its requests wait. When to come again, in seconds."""
    await quota.limited()
    return min(max(math.ceil(await quota.wait()), 1), PATIENCE_S)


def _error(state: RetryCallState) -> ProxyError | None:
    failed = state.outcome.exception() if state.outcome else None
    return failed if isinstance(failed, ProxyError) else None
