"""All outcomes of a run of the bench, for people and for programs."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from proxy import __version__
from tests.bench.figures import Figure, Outcome
from tests.bench.jobs import Run
from tests.bench.plan import Plan


class Report(msgspec.Struct):
    ended: str
    machine: str
    versions: dict[str, str]
    plan: Plan
    outcomes: dict[str, Outcome]
    missing: list[str]
    """Peers that could not take part, and why."""
    others_cores: Figure | None
    """Cores' worth of work that the machine did for others meanwhile, as far as its clock ticks saw it."""
    disturbed: str | None
    """Why this was no time for measuring."""
    runs: dict[str, list[Run]]

    @property
    def problems(self) -> list[str]:
        return [f"{name}: {problem}" for name, outcome in self.outcomes.items() for problem in outcome.problems]

    def text(self) -> str:
        """The report for people."""
        verdicts = [verdict.text() for outcome in self.outcomes.values() for verdict in outcome.verdicts]
        others = self.others_cores
        return "\n".join(
            [
                f"{self.machine}; {', '.join(f'{name} {number}' for name, number in self.versions.items())}",
                f"Medians of {self.plan.rounds} rounds (lowest to highest). CPU is that of the server's processes.",
                "",
                *(f"{outcome.table.text()}\n" for outcome in self.outcomes.values()),
                *(["Aims", *verdicts, ""] if verdicts else []),
                *(f"Missing: {reason}" for reason in self.missing),
                *([f"Cores' worth of other work on the machine meanwhile: {others.text()}"] if others else []),
                *([f"Measured although {self.disturbed}"] if self.disturbed else []),
                *(f"PROBLEM  {problem}" for problem in self.problems),
            ]
        )

    def save(self, folder: Path) -> Path:
        """Writes everything that was measured, with what it was measured on, under its time and as the latest."""
        folder.mkdir(parents=True, exist_ok=True)
        data = msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"
        file = folder / f"{self.ended.replace(':', '')}.json"
        for each in (file, folder / "latest.json"):
            each.write_bytes(data)
        return file


def report(
    plan: Plan,
    outcomes: Mapping[str, Outcome],
    runs: Mapping[str, Sequence[Run]],
    missing: Sequence[str],
    disturbed: str | None,
) -> Report:
    timed = [run for of in runs.values() for run in of if run.seconds]
    return Report(
        ended=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=f"{_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        versions={
            "proxy": __version__,
            "Python": platform.python_version(),
            **{name: version(name) for name in ("aiohttp", "uvloop", "orjson")},
        },
        plan=plan,
        outcomes=dict(outcomes),
        missing=list(missing),
        others_cores=Figure.of((max(run.others, 0) / run.seconds for run in timed), 2) if timed else None,
        disturbed=disturbed,
        runs={name: list(of) for name, of in runs.items()},
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
