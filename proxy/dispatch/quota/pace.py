"""How fast to go after the upstream said 429 although the limit was kept: it counts differently, or somebody else
uses the account too. First a pause, then half the rate, then faster step by step."""

import math

PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
STEP = 0.1
"""With each such part of a window that passes without a 429, the rate rises by the same part of the allowed one."""
ROUNDING = 1e-6


class Pace:
    """Pause and rate of one account; times are seconds of the caller's clock, ``window`` is in seconds.

    Every further 429 doubles the pause and halves the rate again, until the rate has come back to the whole: then
    the next pause is the first one. Those that arrive during a pause belong to requests sent before it: they tell
    nothing new.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._pause = 0.0
        self._share = 1.0
        self.resumes = -math.inf
        """When the pause ends, or ended."""

    def limited(self, now: float) -> None:
        if now < self.resumes:
            return
        share = self._share_at(now)
        self._pause = PAUSE_S if share >= 1 else min(LONGEST_PAUSE_S, self._pause * 2)
        self._share = share / 2
        self.resumes = now + self._pause

    def rate(self, requests: int, now: float) -> int:
        """How many of the allowed ``requests`` in a window to use, at least one."""
        share = self._share_at(now)
        return requests if share >= 1 else max(1, math.floor(requests * share + ROUNDING))

    def _share_at(self, now: float) -> float:
        if self._share >= 1 or now < self.resumes:
            return self._share
        steps = math.floor((now - self.resumes) / (self._window * STEP) + ROUNDING)
        return min(1.0, self._share + STEP * steps)
