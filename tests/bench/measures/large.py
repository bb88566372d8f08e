"""A large request: how long until the upstream hears of it."""

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY
from tests.bench.field import DIRECT
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Singles
from tests.bench.measures.first_token import figure


def large(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field
    names = (DIRECT, *field.names)
    targets = tuple(field.target(name, plan.stamped, plan.large_kilobytes) for name in names)
    runs = []
    for turn in range(plan.rounds):
        bench.tell(f"large requests, round {turn + 1} of {plan.rounds}")
        runs.append(bench.do("large", Singles(targets, plan.large)))
    rows: dict[str, dict[str, Cell]] = {
        name: {
            "median, ms": figure(runs, name, 0.5),
            "longest, ms": Figure.of((max(run.times[name]) * 1e3 for run in runs), 2),
        }
        for name in names
    }
    title = f"Large request, {plan.large_kilobytes} KB with 36 tools: from its last byte to the upstream's first"
    notes = ["Below zero: the beginning is passed on while the end is still to come."]
    aim = Verdict.at_most("large request", figure(runs, PROXY.name, 0.5).median, 5, " ms")
    return Outcome(Table("large", title, rows, notes), [aim])
