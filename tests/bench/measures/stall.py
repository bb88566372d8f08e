"""How many streams can be served without one of them stalling."""

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY, RELAY
from tests.bench.field import DIRECT
from tests.bench.figures import Cell, Outcome, Table, Verdict
from tests.bench.jobs import Paced
from tests.bench.processes import BenchError

GAP_S = 0.2
TRIES = 2  # for each number of streams: a machine stalls as well
CEILING = 0.9  # of what the upstream itself bears
AIM = 512


def stall(bench: Bench) -> Outcome:
    most: dict[str, int] = {}
    for name in [DIRECT, *(name for name in bench.field.names if name != RELAY.name)]:
        most[name] = _search(bench, name)
    rows: dict[str, dict[str, Cell]] = {}
    for name, streams in most.items():
        bound = name != DIRECT and CEILING * most[DIRECT] <= streams < bench.plan.search_to
        top = "; the search ended there" if streams >= bench.plan.search_to else ""
        rows[name] = {"streams": f"{streams}{' upstream-bound' if bound else ''}{top}"}
    title = f"Without a stall: most streams at a token every 20 ms, no gap over {GAP_S * 1e3:g} ms, no token lost"
    verdict = Verdict.at_least("streams without a stall", most[PROXY.name], AIM)
    return Outcome(Table("stall", title, rows), [verdict])


def _search(bench: Bench, name: str) -> int:
    """Doubles until it fails, then halves the distance until the next step would be small."""
    plan, good, bad = bench.plan, 0, 0
    contestant = None if name == DIRECT else bench.field.contestant(name)
    streams = min(plan.search_from, (contestant and contestant.most_streams) or plan.search_from)
    while not bad or bad - good > max(good // 12, 1):
        if _passes(bench, name, streams):
            good = streams
        else:
            bad = streams
        if good >= plan.search_to:
            break
        streams = (good + bad) // 2 if bad else min(good * 2, plan.search_to)
    return good


def _passes(bench: Bench, name: str, streams: int) -> bool:
    plan, field = bench.plan, bench.field
    target = field.target(name, plan.paced(streams, plan.search_seconds))
    job = Paced(target, streams, plan.search_seconds, stall_s=GAP_S, beside=field.helpers)
    for _ in range(TRIES):
        bench.tell(f"without a stall: {name}, {streams} streams")
        try:
            run = bench.do("stall", job, may_fail=True)
        except BenchError:  # it did not get so far as to open them all in time
            continue
        if not (run.problems or run.lost) and run.gaps[2] <= GAP_S:
            return True
    return False
