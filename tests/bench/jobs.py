"""What the load can be told to do, and what it tells of it."""

import msgspec

from tests.bench.wire import Target

GRACE_S = 20  # for what is still under way when the time of a job is over


class Check(msgspec.Struct, tag=True, frozen=True):
    """One answer, read word by word."""

    target: Target
    seconds: float = 0


class Paced(msgspec.Struct, tag=True, frozen=True):
    """``streams`` at once, measured for ``seconds`` while all of them run."""

    target: Target
    streams: int
    seconds: float
    beside: tuple[int, ...] = ()  # the pids of helpers, whose CPU is no disturbance


class Burst(msgspec.Struct, tag=True, frozen=True):
    """``callers`` that ask again as soon as they are answered, measured for ``seconds`` behind a warm-up."""

    target: Target
    callers: int
    seconds: float
    warm_up: float
    beside: tuple[int, ...] = ()


class Singles(msgspec.Struct, tag=True, frozen=True):
    """One request at a time, ``times`` to each target, in random order."""

    targets: tuple[Target, ...]
    times: int
    seconds: float = 10  # at most


Job = Check | Paced | Burst | Singles


class Run(msgspec.Struct):
    """What came of a job.

    The figures from ``tokens`` to ``gaps`` are those of the measured ``seconds``: ``cpu`` is what the server used,
    ``others`` what nobody of the bench did; ``gaps`` between two reads of one stream has the median, the 99th
    percentile and the longest. ``streams``, ``lost`` and ``problems`` are of the whole run. ``first_tokens`` has
    those of single requests by target. All times are in seconds.
    """

    seconds: float = 0
    tokens: int = 0
    frames: int = 0
    cpu: float = 0
    others: float = 0
    gaps: tuple[float, float, float] = (0, 0, 0)
    streams: int = 0
    lost: int = 0
    problems: list[str] = []
    first_tokens: dict[str, list[float]] = {}
