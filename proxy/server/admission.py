"""How many requests are served at once, and how many bytes their bodies may hold together."""

from types import TracebackType
from typing import Self

from aiohttp import web

from proxy.config.settings import Limits
from proxy.errors import TooManyStreams

MB = 2**20
LARGEST_BODIES = 8
"""The budget of bytes has space for this number of bodies of the largest size allowed, ..."""
BYTES_A_REQUEST = 100 * 1024
"""... or for bodies of this size in as many requests as may be under way, whichever is more."""
RETRY_AFTER_S = 1


class Admission:
    """Counts the inference requests under way, from their heads to the ends of their answers.

    ``requests`` is their number and ``held`` the bytes of their bodies, as far as they have arrived.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.held = 0

    def admit(self, limits: Limits) -> "Admitted":
        """Admit a request before its body is read. Raises ``TooManyStreams`` when ``max_streams`` are under way."""
        if self.requests >= limits.max_streams:
            raise TooManyStreams(
                f"the proxy serves {limits.max_streams} requests at once (limits.max_streams); try again shortly",
                retry_after=RETRY_AFTER_S,
            )
        return Admitted(self, budget(limits))


class Admitted:
    """One request that was admitted, while its context lasts."""

    __slots__ = ("_admission", "_budget", "_held")

    def __init__(self, admission: Admission, budget: int) -> None:
        self._admission = admission
        self._budget = budget
        self._held = 0

    def check(self, size: int) -> None:
        """Raise ``TooManyStreams`` when a body of ``size`` more bytes is over the budget."""
        if self._admission.held + size > self._budget:
            raise TooManyStreams(
                f"the requests under way hold {self._budget // MB} MB, as much as the proxy takes; try again shortly",
                retry_after=RETRY_AFTER_S,
            )

    def hold(self, size: int) -> None:
        """Count ``size`` more bytes of the body, which have arrived. Raises as ``check``."""
        self.check(size)
        self._admission.held += size
        self._held += size

    def __enter__(self) -> Self:
        self._admission.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.requests -= 1
        self._admission.held -= self._held


def budget(limits: Limits) -> int:
    """The bytes that the bodies of all requests under way may have together."""
    return max(int(LARGEST_BODIES * limits.max_body_mb * MB), limits.max_streams * BYTES_A_REQUEST)


ADMITTED = web.RequestKey("admitted", Admitted)
