"""What a contestant adds to the time to the first token: requests to the upstream itself and through the contestant, one
at a time and in random order. Each is measured for itself: what others leave in the processor's caches is not its own."""

from collections.abc import Sequence

from tests.bench.bench import Bench, problems
from tests.bench.contestants.ours import PROXY
from tests.bench.field import DIRECT
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Run, Singles

MEDIAN, LATE = 0.5, 0.99


def first_token(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field
    direct = field.target(DIRECT, plan.single)
    runs: dict[str, list[Run]] = {name: [] for name in field.names}
    for turn in range(plan.rounds):
        for name, done in runs.items():
            bench.tell(f"single requests, round {turn + 1} of {plan.rounds}: {name}")
            done.append(bench.do("first_token", Singles((direct, field.target(name, plan.single)), plan.singles)))
    rows: dict[str, dict[str, Cell]] = {
        name: {
            "p50, ms": figure(of, name, MEDIAN),
            "p99, ms": figure(of, name, LATE),
            "added to p50, ms": _added(of, name, MEDIAN),
            "added to p99, ms": _added(of, name, LATE),
        }
        for name, of in runs.items()
    }
    title = f"First token: {plan.singles} requests a round to each, one at a time, the upstream without delay"
    ours = runs[PROXY.name]
    aims = [
        Verdict.at_most("added time to first token, p50", _added(ours, PROXY.name, MEDIAN).median, 0.6, " ms"),
        Verdict.at_most("added time to first token, p99", _added(ours, PROXY.name, LATE).median, 2, " ms"),
    ]
    return Outcome(Table("first_token", title, rows), aims, problems(runs))


def percentile(run: Run, name: str, part: float) -> float:
    """In milliseconds."""
    times = sorted(run.times[name])
    return times[int(len(times) * part)] * 1e3


def figure(runs: Sequence[Run], name: str, part: float) -> Figure:
    return Figure.of((percentile(run, name, part) for run in runs), 2)


def _added(runs: Sequence[Run], name: str, part: float) -> Figure:
    return Figure.of((percentile(run, name, part) - percentile(run, DIRECT, part) for run in runs), 2)
