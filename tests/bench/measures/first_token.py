"""What a contestant adds to the time to the first token: one request at a time, in random order."""

from collections.abc import Sequence

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY
from tests.bench.field import DIRECT
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Run, Singles

MEDIAN, LATE = 0.5, 0.99


def first_token(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field
    targets = tuple(field.target(name, plan.single) for name in (DIRECT, *field.names))
    runs = []
    for turn in range(plan.rounds):
        bench.tell(f"single requests, round {turn + 1} of {plan.rounds}")
        runs.append(bench.do("first_token", Singles(targets, plan.singles)))
    rows: dict[str, dict[str, Cell]] = {
        target.name: {
            "p50, ms": figure(runs, target.name, MEDIAN),
            "p99, ms": figure(runs, target.name, LATE),
            "added to p50, ms": _added(runs, target.name, MEDIAN),
            "added to p99, ms": _added(runs, target.name, LATE),
        }
        for target in targets
    }
    title = f"First token: {plan.singles} requests a round to each, one at a time, the upstream without delay"
    aims = [
        Verdict.at_most("added time to first token, p50", _added(runs, PROXY.name, MEDIAN).median, 0.6, " ms"),
        Verdict.at_most("added time to first token, p99", _added(runs, PROXY.name, LATE).median, 2, " ms"),
    ]
    return Outcome(Table("first_token", title, rows), aims, [problem for run in runs for problem in run.problems])


def percentile(run: Run, name: str, part: float) -> float:
    """In milliseconds."""
    times = sorted(run.times[name])
    return times[int(len(times) * part)] * 1e3


def figure(runs: Sequence[Run], name: str, part: float) -> Figure:
    return Figure.of((percentile(run, name, part) for run in runs), 2)


def _added(runs: Sequence[Run], name: str, part: float) -> Figure:
    return Figure.of((percentile(run, name, part) - percentile(run, DIRECT, part) for run in runs), 2)
