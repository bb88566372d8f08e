"""What a replica carries, and how many an installation needs: ``python -m tests.bench.capacity``, which with ``--write``
makes deploy/SIZING.md. ``--results bench-results/FILE.json`` takes the figures of a run of the bench on your machine:
``python -m tests.bench --peers --only paced,burst,memory``."""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proxy.config.settings import Limits, Quota
from tests.bench.figures import Figure
from tests.bench.processes import ROOT
from tests.bench.report import Report

FILE = ROOT / "deploy" / "SIZING.md"
LARGE = 10_000


@dataclass(frozen=True)
class Measured:
    """The worst of the runs, since a loaded machine is what is being planned."""

    token_us: float = 40
    request_ms: float = 1
    idle_mb: float = 50
    stream_kb: float = 57
    front_token_us: float = 15
    redis_scripts: float = 2
    redis_us: float = 250
    """Of Redis's core, for all scripts of a request."""
    where: str = "in 2026-11, on two shared cores"

    @classmethod
    def of(cls, file: Path) -> "Measured":
        report = msgspec.json.decode(file.read_bytes(), type=Report)

        def high(measure: str, row: str, column: str) -> float:
            figure = report.outcomes[measure].table.rows[row][column]
            assert isinstance(figure, Figure), f"{measure}, {row}, {column}: {figure}"
            return figure.high

        return cls(
            token_us=high("paced", "proxy", "CPU, us a token"),
            request_ms=high("burst", "proxy", "CPU, ms a stream"),
            idle_mb=high("memory", "proxy", "idle, MB"),
            stream_kb=high("memory", "proxy", "each, KB"),
            front_token_us=high("paced", "nginx, passing", "CPU, us a token"),
            where=report.machine,
        )


@dataclass(frozen=True)
class Load:
    """Streams at once, how fast their tokens come, and how long an answer takes."""

    tokens_per_s: float
    answer_s: float
    streams: int = LARGE


@dataclass(frozen=True)
class Aims:
    busy: float = 0.6
    """Of its core, a replica; beyond it tokens begin to wait for each other."""
    room: float = 0.8
    """Of what a replica carries, where the autoscaler adds another: starting one takes some seconds."""
    spare: float = 1 / 3
    """Of the replicas, that may be away: one zone of three, or a rolling update."""


@dataclass(frozen=True)
class Sizing:
    """All of it is arithmetic; ``lines`` shows it."""

    measured: Measured
    load: Load
    aims: Aims = Aims()

    @property
    def core_per_stream(self) -> float:
        per_token = self.load.tokens_per_s * self.measured.token_us / 1e6
        return per_token + self.measured.request_ms / 1e3 / self.load.answer_s

    @property
    def carries(self) -> int:
        """Streams, of one replica."""
        return min(int(self.aims.busy / self.core_per_stream), Limits().max_streams)

    @property
    def target(self) -> int:
        """Streams in flight for which the autoscaler aims, in tens."""
        return int(self.carries * self.aims.room) // 10 * 10

    @property
    def replicas(self) -> int:
        return math.ceil(self.load.streams / self.target)

    @property
    def installed(self) -> int:
        """With as many more that what is left can carry all, when some are away."""
        return max(self.replicas, math.ceil(self.load.streams / self.carries / (1 - self.aims.spare)))

    @property
    def memory_mb(self) -> float:
        return self.measured.idle_mb + self.carries * self.measured.stream_kb / 1024

    @property
    def front_cores(self) -> float:
        return self.load.streams * self.load.tokens_per_s * self.measured.front_token_us / 1e6 / self.aims.busy

    @property
    def requests_per_s(self) -> float:
        return self.load.streams / self.load.answer_s

    @property
    def accounts(self) -> int:
        return math.ceil(self.requests_per_s * 60 / Quota().requests_per_minute)


LOADS = {
    "fast": Load(tokens_per_s=50, answer_s=10),
    "usual": Load(tokens_per_s=30, answer_s=20),
    "slow": Load(tokens_per_s=10, answer_s=30),
}
SHIPPED = "fast"
"""The load that the shipped autoscalers are made for."""


def document(measured: Measured) -> str:
    found = {name: Sizing(measured, load) for name, load in LOADS.items()}
    rows = [
        ("a token every", *(f"{1000 / it.load.tokens_per_s:.0f} ms" for it in found.values())),
        ("an answer takes", *(f"{it.load.answer_s:g} s" for it in found.values())),
        ("core per stream", *(f"{it.core_per_stream * 1000:.2f} ‰" for it in found.values())),
        ("**one replica carries**", *(f"**{it.carries:,} streams**" for it in found.values())),
        ("its memory then", *(f"{it.memory_mb:.0f} MB" for it in found.values())),
        ("autoscaler's target", *(f"{it.target:,}" for it in found.values())),
        (f"**replicas for {LARGE:,}**", *(f"**{it.replicas}**" for it in found.values())),
        ("with a third of them away", *(f"{it.installed}" for it in found.values())),
        ("cores for nginx", *(f"{it.front_cores:.1f}" for it in found.values())),
        ("of Redis's core", *(f"{it.requests_per_s * measured.redis_us / 1e6:.0%}" for it in found.values())),
        ("requests a minute", *(f"{it.requests_per_s * 60:,.0f}" for it in found.values())),
        (f"StackSpot accounts at {Quota().requests_per_minute} a minute", *(f"{it.accounts}" for it in found.values())),
    ]
    one = found[SHIPPED]
    aims = one.aims
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"""\
# How many replicas

Made by `python -m tests.bench.capacity --write`; `--results FILE` takes the figures of a run on your machine. It is a
model with its arithmetic, fed by the benchmark's figures ({measured.where}): nobody ran {LARGE:,} streams.

| | {" | ".join(found)} |
|---|{"---|" * len(found)}
{table}

What was measured, each the worst of its runs:

- {measured.token_us:.0f} µs of CPU a token, {measured.request_ms:.1f} ms a request with its answer
- {measured.idle_mb:.0f} MB at rest, {measured.stream_kb:.0f} KB a stream
- nginx: {measured.front_token_us:.0f} µs a token
- Redis: {measured.redis_scripts:.0f} scripts a request, {measured.redis_us:.0f} µs

The arithmetic, for {SHIPPED!r}:

- core per stream = tokens/s x CPU a token + CPU a request / seconds an answer takes
  = {one.load.tokens_per_s:g} x {measured.token_us:.0f} µs + {measured.request_ms:.1f} ms / {one.load.answer_s:g} s = {one.core_per_stream * 1000:.2f} ‰
- one replica is one event loop, so one core, and is to be busy for {aims.busy:.0%} of it:
  {aims.busy:g} / {one.core_per_stream:.5f} = {one.carries} streams, or `limits.max_streams` if that is less
- the autoscaler adds another at {aims.room:.0%} of that, since a new one takes seconds: {one.target}, the target of the
  components hpa and keda; {LARGE:,} / {one.target} = {one.replicas} replicas
- with a third of them away (a zone of three, an update) the rest carries all: {LARGE:,} / {one.carries} / (1 - 1/3) = {one.installed}
- memory = {measured.idle_mb:.0f} MB + {one.carries} x {measured.stream_kb:.0f} KB = {one.memory_mb:.0f} MB; the limit of 512 MB leaves the rest for
  long conversations and for bodies of up to 10 MB
- cores for nginx = {LARGE:,} x {one.load.tokens_per_s:g} x {measured.front_token_us:.0f} µs / {aims.busy:g} = {one.front_cores:.1f}

**The quota binds first.** {LARGE:,} streams at once are {one.requests_per_s:,.0f} requests a second, where StackSpot allows one
account 100 a minute: so many need {one.accounts:,} accounts, as entries of one `model_name` with a `client_id` each. Where
other providers answer there is no such bound. Set `limits.max_streams` (1000) to about twice the target, so that a
replica refuses before it stutters.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.capacity", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--results", type=Path, metavar="FILE")
    parser.add_argument("--write", action="store_true", help="to deploy/SIZING.md")
    options = parser.parse_args()
    text = document(Measured.of(options.results) if options.results else Measured())
    if options.write:
        FILE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
