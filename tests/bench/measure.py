"""The runs: which, how long, and in turns, so that whatever changes on the machine meets all alike."""

from collections.abc import Callable, Sequence

import msgspec

from tests.bench.field import BASELINE, DIRECT, PROXY, Field
from tests.bench.jobs import Burst, Check, Job, Paced, Run, Singles
from tests.bench.processes import BenchError, load
from tests.bench.rendering import rendering_ms
from tests.bench.wire import TOKEN_EVERY_S, Target, burst, paced

OPENING_S = 0.5  # of a paced run, before the measured time and behind it,
OPENING_PER_STREAM_S = 0.005  # and with every stream more: all of them run while it is measured
WARM_UP_S = 0.3


class Plan(msgspec.Struct, frozen=True):
    rounds: int = 3
    streams: int = 100
    seconds: float = 10
    callers: int = 16
    burst_seconds: float = 4
    burst_tokens: int = 256
    singles: int = 200
    single_tokens: int = 8
    renderings: int = 50

    @property
    def paced(self) -> str:
        seconds = self.seconds + OPENING_S + OPENING_PER_STREAM_S * self.streams
        return paced(round(seconds / TOKEN_EVERY_S))

    @property
    def burst(self) -> str:
        return burst(self.burst_tokens)

    @property
    def single(self) -> str:
        return burst(self.single_tokens)

    @property
    def agents(self) -> tuple[str, ...]:
        return self.paced, self.burst, self.single


class Runs(msgspec.Struct):
    """All that was measured, by server and in the order of the rounds; ``singles`` holds all servers in each."""

    paced: dict[str, list[Run]]
    burst: dict[str, list[Run]]
    singles: list[Run]
    rendering_ms: list[float]

    @property
    def problems(self) -> list[str]:
        """What may not be: an answer that broke off, or that has too few tokens or too many."""
        by_server = [*self.paced.items(), *self.burst.items(), ("single requests", self.singles)]
        return [f"{name}: {problem}" for name, runs in by_server for run in runs for problem in run.problems]


def measure(field: Field, plan: Plan, tell: Callable[[str], None]) -> Runs:
    """Does the whole plan; ``tell`` hears what is under way."""

    def do(job: Job) -> Run:
        return load(job, field.cores.load)

    def timed(job: Paced | Burst) -> Run:
        run = do(job)
        if not (run.tokens and run.cpu):
            raise BenchError(f"there was nothing to measure of {job.target.name}: {run.problems}")
        return run

    helpers = (field.upstream.pid,)

    def paced_run(target: Target) -> Run:
        return timed(Paced(target, plan.streams, plan.seconds, beside=helpers))

    def burst_run(target: Target) -> Run:
        return timed(Burst(target, plan.callers, plan.burst_seconds, WARM_UP_S, beside=helpers))

    def in_turns(what: str, agent: str, names: Sequence[str], run: Callable[[Target], Run]) -> dict[str, list[Run]]:
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for turn in range(plan.rounds):
            for name in names:
                tell(f"{what}, round {turn + 1} of {plan.rounds}: {name}")
                runs[name].append(run(field.target(name, agent)))
        return runs

    for name in (DIRECT, BASELINE, PROXY):
        tell(f"checking: {name}")
        checked = do(Check(field.target(name, plan.burst)))
        if checked.problems:
            raise BenchError(f"{name} does not answer as it should: {checked.problems[0]}")
    singles = []
    for turn in range(plan.rounds):
        tell(f"single requests, round {turn + 1} of {plan.rounds}")
        targets = tuple(field.target(name, plan.single) for name in (DIRECT, BASELINE, PROXY))
        singles.append(do(Singles(targets, plan.singles)))
    return Runs(
        paced=in_turns("paced", plan.paced, (BASELINE, PROXY), paced_run),
        burst=in_turns("burst", plan.burst, (DIRECT, BASELINE, PROXY), burst_run),
        singles=singles,
        rendering_ms=rendering_ms(plan.renderings),
    )
