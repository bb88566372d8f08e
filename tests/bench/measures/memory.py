"""Resident memory: of a server that has just started and answered, and of open streams."""

import time

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY
from tests.bench.field import field
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Check, Held, Paced
from tests.bench.meter import memory_of
from tests.bench.plan import HOLD_S, SOAKED

MB, KB = 2**20, 2**10
FLAT = 1.05  # of what it was when all streams had ended once


def memory(bench: Bench) -> Outcome:
    """Of processes of their own, since those of the other measures have been used."""
    plan, rows = bench.plan, dict[str, dict[str, Cell]]()
    verdicts = []
    for contestant in bench.field.contestants:
        if contestant.inside:
            continue
        with field([contestant], plan.agents) as fresh:
            bench.tell(f"memory: {contestant.name}")
            name = contestant.name
            own = bench.of(fresh)
            own.do("memory", Check(fresh.target(name, plan.single)))
            time.sleep(1)
            idle = memory_of(fresh.servers[name].pid)
            row: dict[str, Cell] = {"idle, MB": Figure.of([idle / MB])}
            each = 0.0
            for streams in plan.held:
                if contestant.most_streams and streams > contestant.most_streams:
                    continue
                target = fresh.target(name, plan.slow(streams, HOLD_S))
                run = own.do("memory", Paced(target, streams, HOLD_S, beside=fresh.helpers))
                each = (run.memory - idle) / streams / KB
                row[f"{streams} streams, MB"] = Figure.of([run.memory / MB])
                row["each, KB"] = Figure.of([each])
            rows[name] = row
            if contestant is PROXY:
                verdicts.append(Verdict.at_most("memory, idle", idle / MB, 60, " MB", 1))
                verdicts.append(Verdict.at_most("memory, an open stream", each, 25, " KB", 1))
    return Outcome(Table("memory", "Memory, resident", rows), verdicts)


def soak(bench: Bench) -> Outcome:
    """Many streams for a long time, each of which ends and is followed by another."""
    plan, streams = bench.plan, bench.plan.held[-1]
    seconds = plan.soak_minutes * 60
    with field([PROXY], plan.agents) as fresh:
        bench.tell(f"{streams} streams for {plan.soak_minutes:g} minutes")
        job = Held(fresh.target(PROXY.name, SOAKED), streams, seconds, seconds / 24)
        run = bench.of(fresh).do("soak", job)
    settled, late = run.memories[8], max(run.memories[-4:])
    row: dict[str, Cell] = {
        "after a third, MB": Figure.of([settled / MB]),
        "at the end, MB": Figure.of([late / MB]),
        "streams ended": f"{run.streams:,}",
    }
    table = Table("soak", f"{streams} open streams for {plan.soak_minutes:g} minutes", {PROXY.name: row})
    aim = Verdict.at_most("memory at the end over that after a third", late / settled, FLAT)
    return Outcome(table, [aim], run.problems + ([f"{run.lost} tokens lost"] if run.lost else []))
