"""What measures have in hand: the field, the plan, and runs on them in turns."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence

import psutil

from tests.bench.field import Field
from tests.bench.jobs import Burst, Check, Job, Paced, Run
from tests.bench.plan import Plan
from tests.bench.processes import BenchError, load

QUIET_S = 10  # at most, until a server has done with what a run left behind
QUIET_CPU = 0.03


@dataclasses.dataclass
class Bench:
    """``tell`` hears what is under way; ``runs`` keeps everything that was measured, by measure."""

    field: Field
    plan: Plan
    tell: Callable[[str], None]
    runs: dict[str, list[Run]] = dataclasses.field(default_factory=dict)

    def of(self, other: Field) -> "Bench":
        """The same on another field."""
        return Bench(other, self.plan, self.tell, self.runs)

    def do(self, measure: str, job: Job, *, may_fail: bool = False) -> Run:
        run = load(job, self.field.cores.load)
        self.runs.setdefault(measure, []).append(run)
        if isinstance(job, Paced | Burst) and not may_fail and not (run.tokens and run.cpu):
            raise BenchError(f"there was nothing to measure of {job.target.name}: {run.problems}")
        if isinstance(job, Paced):
            _until_quiet(job.target.pid)
        return run

    def in_turns(self, measure: str, names: Sequence[str], job: Callable[[str], Job]) -> dict[str, list[Run]]:
        """A run of each, round by round, so that whatever changes on the machine meets all alike."""
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for turn in range(self.plan.rounds):
            for name in names:
                self.tell(f"{measure}, round {turn + 1} of {self.plan.rounds}: {name}")
                runs[name].append(self.do(measure, job(name)))
        return runs

    def check(self, names: Iterable[str], agent: str) -> None:
        """Every answer word by word, before answers are only counted."""
        for name in names:
            self.tell(f"checking: {name}")
            if problems := self.do("check", Check(self.field.target(name, agent))).problems:
                raise BenchError(f"{name} does not answer as it should: {problems[0]}")


def problems(runs: dict[str, list[Run]]) -> list[str]:
    """What went wrong, and tokens that did not come."""
    told = [f"{name}: {problem}" for name, of in runs.items() for run in of for problem in run.problems]
    return told + [f"{name}: {lost} tokens lost" for name, of in runs.items() if (lost := sum(run.lost for run in of))]


def _until_quiet(pid: int) -> None:
    """Waits for a server that is still busy with connections that have gone."""
    process, until = psutil.Process(pid), time.monotonic() + QUIET_S
    process.cpu_percent()
    while time.monotonic() < until:
        time.sleep(0.2)
        if process.cpu_percent() / 100 < QUIET_CPU:
            return
