"""Deployments that are left alone for a while after they failed, and the claim to try one again."""

import time
from collections.abc import Callable
from typing import Protocol


class Cooldowns(Protocol):
    """What is known of them, here or by all replicas. An id is that of a deployment; times are in seconds."""

    def cooling(self, id: str) -> float:
        """What is left of its cool-down."""

    async def cool(self, id: str, seconds: float) -> None:
        """Leaves it alone for so long from now; a claim to probe it is over."""

    async def clear(self, id: str) -> None:
        """It is neither cooling nor claimed any more."""

    async def forget(self) -> None:
        """None is cooling any more."""

    async def claim_probe(self, id: str, seconds: float) -> bool:
        """True for the one who may probe it, until it is cooled or cleared, for at most ``seconds``."""


class LocalCooldowns:
    """Those of one process. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cooling: dict[str, float] = {}
        self._probes: dict[str, float] = {}

    def cooling(self, id: str) -> float:
        return max(0.0, self._cooling.get(id, 0.0) - self._clock())

    async def cool(self, id: str, seconds: float) -> None:
        self._probes.pop(id, None)
        self._cooling[id] = self._clock() + seconds

    async def clear(self, id: str) -> None:
        self._probes.pop(id, None)
        self._cooling.pop(id, None)

    async def forget(self) -> None:
        self._probes.clear()
        self._cooling.clear()

    async def claim_probe(self, id: str, seconds: float) -> bool:
        now = self._clock()
        if self._probes.get(id, now) > now:
            return False
        self._probes[id] = now + seconds
        return True
