"""From runs to figures: medians over the rounds with their range, as a table and as JSON."""

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from tests.bench.field import BASELINE, DIRECT, PROXY
from tests.bench.jobs import Run
from tests.bench.measure import Plan, Runs

CEILING = 0.9  # of the upstream's own rate: beyond it, the upstream is what was measured


class Figure(msgspec.Struct, frozen=True):
    """The median over the rounds, and the range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Figure":
        values = sorted(values)
        return cls(statistics.median(values), values[0], values[-1])

    def text(self, digits: int = 1) -> str:
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


class PacedFigures(msgspec.Struct):
    """A chunk is a token as the upstream sends it; ``chunks_per_frame`` grows when several travel on together."""

    us_per_chunk: Figure
    chunks_per_frame: Figure
    cores_used: Figure
    gap_p99_ms: Figure
    longest_gap_ms: float
    lost: int


class BurstFigures(msgspec.Struct):
    """``chunks_per_s`` is by the clock, ``chunks_per_s_per_core`` by the server's CPU."""

    ms_per_stream: Figure
    chunks_per_frame: Figure
    chunks_per_s_per_core: Figure
    chunks_per_s: Figure
    upstream_bound: bool
    lost: int


class FirstTokenFigures(msgspec.Struct):
    """Of single requests; ``added`` is the difference to the direct way, percentile by percentile."""

    p50_ms: Figure
    p99_ms: Figure
    added_p50_ms: Figure
    added_p99_ms: Figure


class Report(msgspec.Struct):
    plan: Plan
    paced: dict[str, PacedFigures]
    paced_ratio: Figure
    burst: dict[str, BurstFigures]
    burst_ratio: Figure
    ceiling_chunks_per_s: Figure
    first_token: dict[str, FirstTokenFigures]
    rendering_ms: Figure
    """Of a prompt of 230 KB with 36 tools."""
    others_cores: Figure
    """Cores' worth of work that the machine did for others meanwhile, as far as its clock ticks saw it."""
    disturbed: str | None
    """Why this was no time for measuring."""
    problems: list[str]
    runs: Runs

    @classmethod
    def of(cls, plan: Plan, runs: Runs, disturbed: str | None) -> "Report":
        ceiling = Figure.of(_rate(run) for run in runs.burst[DIRECT])
        timed = [run for by_server in (runs.paced, runs.burst) for each in by_server.values() for run in each]
        return cls(
            plan=plan,
            paced={name: _paced(of) for name, of in runs.paced.items()},
            paced_ratio=_ratio(runs.paced),
            burst={name: _burst(of, plan, ceiling.median) for name, of in runs.burst.items() if name != DIRECT},
            burst_ratio=_ratio(runs.burst),
            ceiling_chunks_per_s=ceiling,
            first_token={name: _first_token(name, runs.singles) for name in (DIRECT, BASELINE, PROXY)},
            rendering_ms=Figure.of(runs.rendering_ms),
            others_cores=Figure.of(max(run.others, 0) / run.seconds for run in timed),
            disturbed=disturbed,
            problems=runs.problems,
            runs=runs,
        )

    def text(self) -> str:
        """The report for people."""
        plan = self.plan
        names = (BASELINE, PROXY)
        paced, burst, first = self.paced, self.burst, self.first_token
        bound = [" upstream-bound" if burst[name].upstream_bound else "" for name in names]
        return "\n".join(
            [
                f"Medians of {plan.rounds} rounds (lowest to highest). CPU is that of the server's process.",
                "",
                _row(f"paced: {plan.streams} streams, 20 ms a token, {plan.seconds:g} s", *names),
                _row("  CPU us per chunk", *(paced[name].us_per_chunk.text() for name in names)),
                _row("  proxy / pass-through", "", self.paced_ratio.text(2)),
                _row("  chunks per frame", *(paced[name].chunks_per_frame.text(2) for name in names)),
                _row("  cores used", *(paced[name].cores_used.text(2) for name in names)),
                _row("  99th percentile of gaps, ms", *(paced[name].gap_p99_ms.text() for name in names)),
                _row("  longest gap, ms", *(f"{paced[name].longest_gap_ms:.1f}" for name in names)),
                _row("  lost tokens", *(str(paced[name].lost) for name in names)),
                "",
                _row(f"burst: {plan.callers} callers, {plan.burst_tokens} tokens, {plan.burst_seconds:g} s", *names),
                _row("  CPU ms per stream", *(burst[name].ms_per_stream.text(3) for name in names)),
                _row("  proxy / pass-through", "", self.burst_ratio.text(2)),
                _row("  chunks per frame", *(burst[name].chunks_per_frame.text(1) for name in names)),
                _row("  chunks/s per core", *(burst[name].chunks_per_s_per_core.text(0) for name in names)),
                _row(
                    "  chunks/s by the clock",
                    *(burst[name].chunks_per_s.text(0) + label for name, label in zip(names, bound, strict=True)),
                ),
                _row("  the upstream alone, chunks/s", self.ceiling_chunks_per_s.text(0), ""),
                _row("  lost tokens", *(str(burst[name].lost) for name in names)),
                "",
                _row(f"first token: {plan.singles} single requests a round", *names),
                _row("  p50, ms", *(first[name].p50_ms.text(2) for name in names)),
                _row("  p99, ms", *(first[name].p99_ms.text(2) for name in names)),
                _row("  added to the direct p50, ms", *(first[name].added_p50_ms.text(2) for name in names)),
                _row("  added to the direct p99, ms", *(first[name].added_p99_ms.text(2) for name in names)),
                "",
                _row("rendering 230 KB with 36 tools, ms", "", self.rendering_ms.text(2)),
                "",
                f"Cores' worth of other work on the machine meanwhile: {self.others_cores.text(2)}",
                *([f"Measured although {self.disturbed}"] if self.disturbed else []),
                *(f"PROBLEM  {problem}" for problem in self.problems),
            ]
        )


def _row(title: str, *cells: str) -> str:
    return f"{title:<46}" + "".join(f"{cell:<38}" for cell in cells).rstrip()


def _rate(run: Run) -> float:
    return run.tokens / run.seconds


def _ratio(runs: dict[str, list[Run]]) -> Figure:
    """CPU per token of the proxy over that of the baseline, round by round."""
    pairs = zip(runs[PROXY], runs[BASELINE], strict=True)
    return Figure.of((proxy.cpu / proxy.tokens) / (base.cpu / base.tokens) for proxy, base in pairs)


def _paced(runs: Sequence[Run]) -> PacedFigures:
    return PacedFigures(
        us_per_chunk=Figure.of(run.cpu / run.tokens * 1e6 for run in runs),
        chunks_per_frame=Figure.of(run.tokens / max(run.frames, 1) for run in runs),
        cores_used=Figure.of(run.cpu / run.seconds for run in runs),
        gap_p99_ms=Figure.of(run.gaps[1] * 1e3 for run in runs),
        longest_gap_ms=max(run.gaps[2] for run in runs) * 1e3,
        lost=sum(run.lost for run in runs),
    )


def _burst(runs: Sequence[Run], plan: Plan, ceiling: float) -> BurstFigures:
    rate = Figure.of(_rate(run) for run in runs)
    return BurstFigures(
        ms_per_stream=Figure.of(run.cpu / run.tokens * plan.burst_tokens * 1e3 for run in runs),
        chunks_per_frame=Figure.of(run.tokens / max(run.frames, 1) for run in runs),
        chunks_per_s_per_core=Figure.of(run.tokens / run.cpu for run in runs),
        chunks_per_s=rate,
        upstream_bound=rate.median >= CEILING * ceiling,
        lost=sum(run.lost for run in runs),
    )


def _first_token(name: str, runs: Sequence[Run]) -> FirstTokenFigures:
    def percentile(run: Run, of: str, part: float) -> float:
        times = sorted(run.first_tokens[of])
        return times[int(len(times) * part)] * 1e3

    def figure(part: float) -> Figure:
        return Figure.of(percentile(run, name, part) for run in runs)

    def added(part: float) -> Figure:
        return Figure.of(percentile(run, name, part) - percentile(run, DIRECT, part) for run in runs)

    return FirstTokenFigures(figure(0.5), figure(0.99), added(0.5), added(0.99))
