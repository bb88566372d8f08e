"""What the load can be told to do, and what it tells of it."""

import msgspec

from tests.bench.wire import Target

GRACE_S = 20  # for what is still under way when the time of a job is over


class Check(msgspec.Struct, tag=True, frozen=True):
    """One answer, read word by word."""

    target: Target
    seconds: float = 0


class Paced(msgspec.Struct, tag=True, frozen=True):
    """``streams`` at once, measured for ``seconds`` while all of them run. Beyond a gap of ``stall_s``, if that is
    given, there is nothing more to learn and the run is broken off. Meanwhile ``aside`` is asked ``per_second``."""

    target: Target
    streams: int
    seconds: float
    stall_s: float = 0
    aside: Target | None = None
    per_second: float = 0
    beside: tuple[int, ...] = ()  # the pids of helpers, whose CPU is no disturbance


class Burst(msgspec.Struct, tag=True, frozen=True):
    """``callers`` that ask again as soon as they are answered, measured for ``seconds`` behind a warm-up."""

    target: Target
    callers: int
    seconds: float
    warm_up: float = 0.3
    beside: tuple[int, ...] = ()


class Singles(msgspec.Struct, tag=True, frozen=True):
    """One request at a time, ``times`` to each target, in random order. Of an agent that stamps, the time from the
    request's last byte to the upstream's first is noted in place of that to the first token."""

    targets: tuple[Target, ...]
    times: int
    seconds: float = 60  # at most


class Held(msgspec.Struct, tag=True, frozen=True):
    """``streams`` kept open for ``seconds``, a new one for each that ends, and the server's memory looked at
    every so often."""

    target: Target
    streams: int
    seconds: float
    every: float


Job = Check | Paced | Burst | Singles | Held


class Run(msgspec.Struct):
    """What came of a job.

    The figures from ``tokens`` to ``silence`` are those of the measured ``seconds``: ``cpu`` is what the server used,
    ``others`` what nobody of the bench did; ``memory`` what the server had at the end, in bytes; ``gaps`` between two
    reads of one stream has the median, the 99th percentile and the longest, ``silence`` is the longest in which no
    stream at all got anything. ``streams``, ``lost`` and ``problems`` are of the whole run. ``times`` has those of
    single requests by target, ``memories`` those of a run that was held. All times are in seconds.
    """

    target: str = ""
    seconds: float = 0
    tokens: int = 0
    frames: int = 0
    cpu: float = 0
    others: float = 0
    memory: int = 0
    gaps: tuple[float, float, float] = (0, 0, 0)
    silence: float = 0
    streams: int = 0
    lost: int = 0
    problems: list[str] = []
    times: dict[str, list[float]] = {}
    memories: list[int] = []
