"""The CPU that a token costs when tokens come one by one, as models make them."""

from collections.abc import Mapping, Sequence

from tests.bench.bench import Bench, problems
from tests.bench.contestants.envoy import ENVOY
from tests.bench.contestants.gateways import LITELLM
from tests.bench.contestants.ours import PASSTHROUGH, PROXY
from tests.bench.figures import Cell, Figure, Outcome, Table, Verdict
from tests.bench.jobs import Paced, Run


def paced(bench: Bench) -> Outcome:
    plan, field = bench.plan, bench.field

    def streams(name: str) -> int:
        return min(plan.streams, field.contestant(name).most_streams or plan.streams)

    def job(name: str) -> Paced:
        target = field.target(name, plan.paced(streams(name), plan.seconds))
        return Paced(target, streams(name), plan.seconds, beside=field.helpers)

    runs = bench.in_turns("paced", field.names, job)
    title = f"Paced: {plan.streams} streams, a token every 20 ms, {plan.seconds:g} s"
    rows = {name: _row(of, streams(name)) for name, of in runs.items()}
    notes = [
        f"CPU of the proxy per token over that of {name}: {ratio(runs, name).text()}"
        for name in field.names
        if name != PROXY.name
    ]
    return Outcome(Table("paced", title, rows, notes), _verdicts(runs), problems(runs))


def per_token(run: Run) -> float:
    """CPU in microseconds."""
    return run.cpu / run.tokens * 1e6


def ratio(runs: Mapping[str, Sequence[Run]], name: str) -> Figure:
    """The proxy's CPU per token over that of another, round by round."""
    pairs = zip(runs[PROXY.name], runs[name], strict=True)
    return Figure.of((per_token(ours) / per_token(theirs) for ours, theirs in pairs), 2)


def _row(runs: Sequence[Run], streams: int) -> dict[str, Cell]:
    return {
        "CPU, us a token": Figure.of(map(per_token, runs)),
        "tokens a frame": Figure.of((run.tokens / max(run.frames, 1) for run in runs), 2),
        "longest gap, ms": Figure.of((run.gaps[2] * 1e3 for run in runs), 0),
        "core used": Figure.of((run.cpu / run.seconds for run in runs), 2),
        "streams": str(streams),
    }


def _verdicts(runs: dict[str, list[Run]]) -> list[Verdict]:
    aim = "CPU per token, paced, over {}'s"
    verdicts = []
    if ENVOY.name in runs:
        over = ratio(runs, ENVOY.name).median
        verdicts.append(Verdict.at_most(aim.format("Envoy"), over, 1.0))
        verdicts.append(Verdict.at_most(aim.format("Envoy") + ", first step", over, 1.3))
    else:
        over = ratio(runs, PASSTHROUGH.name).median
        text = f"{over:.2f} of the plain pass-through's; Envoy is missing"
        verdicts.append(Verdict(aim.format("Envoy") + " <= 1", text, None))
    if LITELLM.name in runs:
        verdicts.append(Verdict.at_most(aim.format("LiteLLM"), ratio(runs, LITELLM.name).median, 1 / 25, digits=3))
    return verdicts
