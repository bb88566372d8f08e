"""How many retries there may be in all, so that a failing upstream is not stormed by them."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60
SHARE = 0.2
ALWAYS = 10


class RetryBudget:
    """Retries of the last minute are at most a fifth of its requests, but ten are always allowed. Counted in
    seconds, so that its size does not depend on the load."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[int]] = deque()
        """Of each second that had any: the second, its requests, its retries."""

    def count_request(self) -> None:
        self._now()[1] += 1

    def take(self) -> bool:
        """Counts a retry if there may be one more."""
        now = self._now()
        requests, retries = (sum(second[kind] for second in self._seconds) for kind in (1, 2))
        if retries >= max(ALWAYS, SHARE * requests):
            return False
        now[2] += 1
        return True

    def _now(self) -> list[int]:
        second = int(self._clock())
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            self._seconds.popleft()
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        return self._seconds[-1]
