"""How much is measured."""

import msgspec

from tests.bench.load import OPEN_PER_S
from tests.bench.wire import BURST, PACED, SLOW, SLOW_TOKEN_EVERY_S, STAMP, TOKEN_EVERY_S

OPENING_S = 2.0  # of a paced run, before the measured time and behind it, beside what opening the streams takes
LENGTH_STEP = 50  # answers are so many tokens longer than the next shorter ones


class Plan(msgspec.Struct, frozen=True):
    rounds: int = 3
    streams: int = 200
    seconds: float = 10
    callers: int = 16
    burst_seconds: float = 4
    burst_tokens: int = 256
    singles: int = 300
    single_tokens: int = 8
    large: int = 30
    large_kilobytes: int = 230
    search_from: int = 256
    search_to: int = 2048
    search_seconds: float = 4
    held: tuple[int, ...] = (100, 500, 1000)
    starts: int = 5
    blocks_seconds: float = 10
    growth_streams: tuple[int, ...] = (10, 100, 500)
    growth_tokens: tuple[int, ...] = (256, 1024, 4096, 16384)
    growth_kilobytes: tuple[int, ...] = (10, 50, 100, 200, 400)
    soak_minutes: float = 30

    def paced(self, streams: int, seconds: float) -> str:
        """The agent whose answers are long enough for so many streams to run together for so long."""
        opening = OPENING_S + streams / OPEN_PER_S * 1.5
        return f"{PACED}-{_up((seconds + opening) / TOKEN_EVERY_S)}"

    def slow(self, streams: int, seconds: float) -> str:
        opening = OPENING_S + streams / OPEN_PER_S * 1.5
        return f"{SLOW}-{_up((seconds + opening) / SLOW_TOKEN_EVERY_S, 2)}"

    @property
    def burst(self) -> str:
        return f"{BURST}-{self.burst_tokens}"

    @property
    def single(self) -> str:
        return f"{BURST}-{self.single_tokens}"

    @property
    def stamped(self) -> str:
        return f"{STAMP}-1"

    @property
    def agents(self) -> tuple[str, ...]:
        """Every agent that may be asked: contestants have to know them when they start."""
        longest = max(self.seconds, self.search_seconds, self.blocks_seconds, PROFILE_S) + OPENING_S
        most = max(self.streams, self.search_to, *self.growth_streams)
        tokens = _up((longest + most / OPEN_PER_S * 1.5) / TOKEN_EVERY_S)
        paced = [f"{PACED}-{length}" for length in range(LENGTH_STEP, tokens + 1, LENGTH_STEP)]
        slow = {self.slow(streams, HOLD_S) for streams in self.held} | {SOAKED}
        bursts = {f"{BURST}-{length}" for length in (self.burst_tokens, self.single_tokens, *self.growth_tokens)}
        return (*paced, *sorted(slow), *sorted(bursts), self.stamped)


PROFILE_S = 10.0
HOLD_S = 3.0  # how long streams are held to see what memory they take
SOAKED = f"{SLOW}-20"  # for ten seconds

QUICK = Plan(
    rounds=2,
    seconds=3,
    burst_seconds=1,
    singles=60,
    large=8,
    search_seconds=2,
    search_to=1024,
    held=(100, 500),
    starts=2,
    blocks_seconds=3,
    growth_tokens=(256, 4096),
    growth_kilobytes=(50, 200),
    soak_minutes=1,
)


def _up(tokens: float, step: int = LENGTH_STEP) -> int:
    return -(-int(tokens) // step) * step
