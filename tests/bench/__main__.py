"""``python -m tests.bench [--quick] [--force]``."""

import argparse
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from proxy import __version__
from tests.bench.field import field
from tests.bench.machine import disturbance
from tests.bench.measure import Plan, measure
from tests.bench.processes import ROOT, BenchError
from tests.bench.report import Report

RESULTS = ROOT / "bench-results" / "latest.json"
QUICK = Plan(seconds=1.5, burst_seconds=0.5, singles=40)


def main() -> int:
    options = _options()
    plan = QUICK if options.quick else Plan()
    chosen = {"rounds": options.rounds, "streams": options.streams, "seconds": options.seconds}
    plan = msgspec.structs.replace(plan, **{key: value for key, value in chosen.items() if value is not None})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that ends the processes
    if reason := disturbance():
        if not options.force:
            print(f"bench: not now: {reason}; --force measures all the same", file=sys.stderr)
            return 1
        _tell(f"going on although {reason}")
    try:
        with field(plan.agents) as servers:
            report = Report.of(plan, measure(servers, plan, _tell), disturbed=reason)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(report.text())
    _save(report, options.output)
    return 1 if report.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks of the proxy.")
    parser.add_argument("--quick", action="store_true", help="under half a minute, and less exact")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--rounds", type=_natural, metavar="N", help=f"default: {Plan().rounds}")
    parser.add_argument("--streams", type=_natural, metavar="N", help=f"of the paced run; default: {Plan().streams}")
    parser.add_argument("--seconds", type=_natural, metavar="S", help=f"of a paced run; default: {Plan().seconds:g}")
    parser.add_argument("--output", type=Path, metavar="FILE", default=RESULTS, help="default: %(default)s")
    return parser.parse_args()


def _natural(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1 up is expected")
    return int(text)


def _save(report: Report, file: Path) -> None:
    """Writes everything that was measured, with what it was measured on."""
    versions = {"proxy": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in ("aiohttp", "uvloop", "orjson")}
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"ended": ended, "cores": os.cpu_count(), "versions": versions} | msgspec.to_builtins(report)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def _tell(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
