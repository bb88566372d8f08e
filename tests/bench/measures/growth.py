"""How the cost grows: with streams, with the length of answers, with that of conversations."""

from collections.abc import Callable

from tests.bench.bench import Bench, problems
from tests.bench.contestants.ours import PASSTHROUGH, PROXY
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Burst, Job, Paced, Run
from tests.bench.measures.paced import per_token
from tests.bench.wire import BURST

CALLERS = 4
NAMES = [PROXY.name, PASSTHROUGH.name]
FLAT = 1.15
LINEAR = 1.3


def growth(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field
    rows: dict[str, dict[str, Cell]] = {name: {} for name in NAMES}
    found: list[str] = []
    medians: dict[str, list[float]] = {}

    def measured(what: str, column: str, digits: int, job: Callable[[str], Job], of: Callable[[Run], float]) -> None:
        runs = bench.in_turns(f"growth, {column}", NAMES, job)
        found.extend(problems(runs))
        for name in NAMES:
            rows[name][column] = Figure.of(map(of, runs[name]), digits)
        medians.setdefault(what, []).append(Figure.of(map(of, runs[PROXY.name])).median)

    def paced(name: str, streams: int) -> Paced:
        return Paced(field.target(name, plan.paced(streams, plan.seconds)), streams, plan.seconds, beside=field.helpers)

    def burst(name: str, tokens: int, kilobytes: int = 0) -> Burst:
        target = field.target(name, f"{BURST}-{tokens}", kilobytes)
        return Burst(target, CALLERS, plan.burst_seconds / 2, beside=field.helpers)

    for streams in plan.growth_streams:
        measured("streams", f"{streams} streams, us/token", 1, lambda name, n=streams: paced(name, n), per_token)  # type: ignore[misc]
    for tokens in plan.growth_tokens:
        measured("answers", f"{tokens:,} tokens, us/token", 2, lambda name, n=tokens: burst(name, n), per_token)  # type: ignore[misc]
    for kilobytes in plan.growth_kilobytes:
        measured(
            "conversations",
            f"{kilobytes} KB asked, ms",
            2,
            lambda name, n=kilobytes: burst(name, plan.single_tokens, n),  # type: ignore[misc]
            lambda run: run.cpu / run.tokens * plan.single_tokens * 1e3,
        )
    verdicts = [
        _flat(plan.growth_streams, medians["streams"]),
        _flat(plan.growth_tokens, medians["answers"], "answers"),
    ]
    verdicts.append(_linear(plan.growth_kilobytes, medians["conversations"]))
    turned = {column: {name: rows[name][column] for name in NAMES} for column in rows[PROXY.name]}
    return Outcome(Table("growth", "Growth: CPU", turned), verdicts, found)


def _flat(sizes: tuple[int, ...], costs: list[float], what: str = "streams") -> Verdict:
    """The cost per token may fall with size, but not rise."""
    return Verdict.at_most(
        f"growth with {what}: CPU per token at {sizes[-1]:,} over {sizes[0]:,}", costs[-1] / costs[0], FLAT
    )


def _linear(sizes: tuple[int, ...], costs: list[float]) -> Verdict:
    """What the last kilobytes cost, each, over what the first did."""
    first = (costs[1] - costs[0]) / (sizes[1] - sizes[0])
    last = (costs[-1] - costs[-2]) / (sizes[-1] - sizes[-2])
    if len(sizes) < 3:
        return Verdict("growth with conversations: linear", f"{first * 1000:.1f} us a KB, from two sizes", None)
    return Verdict.at_most("growth with conversations: the last KB over the first", last / first, LINEAR)
