"""Whether the event loop stays free while large requests come in: seen from outside, by streams that run beside them.

With 50 streams, each a token every 20 ms at times of its own, something comes about every millisecond. The longest
silence on all of them together is therefore the longest time in which the server passed on nothing at all.
"""

from collections.abc import Sequence

from tests.bench.bench import Bench, problems
from tests.bench.contestants.ours import PROXY
from tests.bench.field import DIRECT
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Paced, Run

STREAMS, PER_SECOND = 50, 5.0


def blocks(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field
    names = [name for name in field.names if not field.contestant(name).most_streams]

    def job(name: str, aside: bool = True) -> Paced:
        target = field.target(name, plan.paced(STREAMS, plan.blocks_seconds))
        beside = field.target(name, plan.single, plan.large_kilobytes) if aside else None
        return Paced(target, STREAMS, plan.blocks_seconds, aside=beside, per_second=PER_SECOND, beside=field.helpers)

    alone = bench.in_turns("blocks, streams alone", [PROXY.name], lambda name: job(name, aside=False))
    runs = bench.in_turns("blocks", [DIRECT, *names], job)
    rows = {f"{PROXY.name}, without them": _row(alone[PROXY.name])} | {name: _row(of) for name, of in runs.items()}
    title = f"The loop stays free: {PER_SECOND:g} requests/s of {plan.large_kilobytes} KB beside {STREAMS} streams"
    longest = Figure.of(run.silence * 1e3 for run in runs[PROXY.name])
    aim = Verdict.at_most("longest block of the loop", longest.median, 10, " ms", 1)
    return Outcome(Table("blocks", title, rows), [aim], problems(runs))


def _row(runs: Sequence[Run]) -> dict[str, Cell]:
    return {
        "longest silence of all, ms": Figure.of(run.silence * 1e3 for run in runs),
        "longest gap of one, ms": Figure.of(run.gaps[2] * 1e3 for run in runs),
    }
