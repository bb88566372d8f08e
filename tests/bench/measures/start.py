"""From the start of the process to the first 200."""

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY
from tests.bench.field import field
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict


def start(bench: Bench) -> Outcome:
    plan, rows = bench.plan, dict[str, dict[str, Cell]]()
    contestants = [contestant for contestant in bench.field.contestants if not contestant.inside]
    taken: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for turn in range(plan.starts):
        for contestant in contestants:
            bench.tell(f"starts, {turn + 1} of {plan.starts}: {contestant.name}")
            with field([contestant], [plan.single]) as fresh:
                taken[contestant.name].append(fresh.servers[contestant.name].started_s)
    rows = {name: {"s": Figure.of(seconds, 2)} for name, seconds in taken.items()}
    aim = Verdict.at_most("start", Figure.of(taken[PROXY.name]).median, 0.6, " s")
    return Outcome(Table("start", "Start: from the process to its first 200", rows), [aim])
