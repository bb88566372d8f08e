"""Whether a deployment is fit to be chosen: one that keeps failing is left alone for a while."""

import time
from collections.abc import Callable
from types import TracebackType

from proxy.dispatch.cooldowns import Cooldowns
from proxy.errors import CreditSpent, ProxyError, UpstreamRateLimited

PROBE_S = 60.0
"""How long a probe keeps others away at most; one whose outcome is still open then is no longer waited for."""
LONGEST_RETRY_AFTER_S = 300.0
"""A longer Retry-After is cut to this: to ask again costs one request, to believe a mistake costs the deployment."""
LOOK_AGAIN_S = 1.0
"""How long a probe of another replica keeps this one away, until it looks again."""


class Health:
    """The failures of one deployment. More than ``allowed_fails`` of them in a row begin a cool-down of
    ``cooldown_time`` seconds; an upstream that refuses for a time of its own, or whose credit is spent, begins one
    at once. Behind a cool-down a single request is let through as a probe: its outcome decides for all."""

    def __init__(
        self,
        id: str,
        allowed_fails: int,
        cooldown_time: float,
        cooldowns: Cooldowns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = id
        self._allowed_fails = allowed_fails
        self._cooldown_time = cooldown_time
        self._cooldowns = cooldowns
        self._clock = clock
        self._failures = 0
        self._suspect = False
        """It was cooled, here or by another replica, and has not answered since."""
        self._probed_until = 0.0

    @property
    def cooling(self) -> float:
        """Seconds until it may be chosen again; 0 for one that may be probed."""
        return self._cooldowns.cooling(self._id)

    def fit(self) -> bool:
        """It may be chosen; behind a cool-down only while nobody probes it."""
        if self.cooling:
            self._suspect = True
            return False
        return not self._suspect or self._clock() >= self._probed_until

    async def claim(self) -> bool:
        """Chooses one that is fit. False when somebody else is probing it."""
        if not self._suspect:
            return True
        claimed = await self._cooldowns.claim_probe(self._id, PROBE_S)
        self._probed_until = self._clock() + (PROBE_S if claimed else LOOK_AGAIN_S)
        return claimed

    def trial(self) -> "Trial":
        """A request under way to it, whose outcome is taken note of."""
        return Trial(self)

    async def failed(self, error: ProxyError) -> None:
        if not error.blames:
            await self.leave_open()
            return
        probing, self._probed_until = self._probed_until > 0, 0.0
        self._failures += 1
        at_once = isinstance(error, UpstreamRateLimited | CreditSpent)
        if at_once or probing or self._failures > self._allowed_fails:
            self._suspect = True
            asked = min(error.retry_after or 0, LONGEST_RETRY_AFTER_S)
            await self._cooldowns.cool(self._id, max(self._cooldown_time, asked))

    async def leave_open(self) -> None:
        """Nothing was learnt: another one may probe."""
        if self._probed_until:
            self._probed_until = 0.0
            await self._cooldowns.clear(self._id)

    async def succeeded(self) -> None:
        was_suspect = self._suspect
        self._failures, self._suspect, self._probed_until = 0, False, 0.0
        if was_suspect:
            await self._cooldowns.clear(self._id)


class Trial:
    """Lasts as long as the request."""

    __slots__ = ("_health",)

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self._health.succeeded()
        elif isinstance(error, ProxyError):
            await self._health.failed(error)
        else:  # the caller has left: no verdict
            await self._health.leave_open()
