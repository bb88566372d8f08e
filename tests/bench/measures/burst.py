"""Whole answers as fast as they go: an upstream that has them ready."""

from collections.abc import Sequence

from tests.bench.bench import Bench, problems
from tests.bench.contestants.nginx import NGINX, RECORDED
from tests.bench.contestants.ours import PROXY
from tests.bench.field import DIRECT, field
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Burst, Run

CEILING = 0.9  # of the upstream's own rate: beyond it, the upstream is what was measured
AIM, AIM_OF_NGINX = 700_000, 0.25


def burst(bench: Bench) -> Outcome:
    """With nginx as the upstream where there is nginx: a field of its own."""
    if RECORDED.missing:
        return _burst(bench, "the bench's own upstream")
    with field(bench.field.contestants, [bench.plan.burst], RECORDED) as recorded:
        return _burst(bench.of(recorded), "nginx, which has the answer recorded")


def _burst(bench: Bench, upstream: str) -> Outcome:
    plan, field = bench.plan, bench.field
    names = [DIRECT, *field.names]
    bench.check(names, plan.burst)

    def job(name: str) -> Burst:
        target = field.target(name, plan.burst)
        return Burst(target, plan.callers, plan.burst_seconds, beside=field.helpers)

    runs = bench.in_turns("burst", names, job)
    ceiling = _rate(runs[DIRECT]).median
    rows = {name: _row(of, plan.burst_tokens, name != DIRECT, ceiling) for name, of in runs.items()}
    title = f"Burst: {plan.callers} callers, answers of {plan.burst_tokens} tokens, {plan.burst_seconds:g} s"
    verdicts = [Verdict.at_least("burst, tokens/s per core", _per_core(runs[PROXY.name]).median, AIM)]
    if NGINX.name in runs:
        part = _per_core(runs[PROXY.name]).median / _per_core(runs[NGINX.name]).median
        verdicts.append(Verdict.at_least("burst, of nginx's rate per core", part, AIM_OF_NGINX, digits=2))
    return Outcome(Table("burst", title, rows, [f"The upstream is {upstream}."]), verdicts, problems(runs))


def _row(runs: Sequence[Run], tokens: int, behind: bool, ceiling: float) -> dict[str, Cell]:
    rate = _rate(runs)
    bound = " upstream-bound" if behind and rate.median >= CEILING * ceiling else ""
    return {
        "CPU, ms a stream": Figure.of((run.cpu / run.tokens * tokens * 1e3 for run in runs), 3),
        "tokens/s per core": _per_core(runs),
        "tokens/s by the clock": rate.text() + bound,
        "tokens a frame": Figure.of((run.tokens / max(run.frames, 1) for run in runs), 1),
    }


def _rate(runs: Sequence[Run]) -> Figure:
    return Figure.of((run.tokens / run.seconds for run in runs), 0)


def _per_core(runs: Sequence[Run]) -> Figure:
    return Figure.of((run.tokens / run.cpu for run in runs), 0)
