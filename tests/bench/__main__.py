"""``python -m tests.bench [--quick] [--force] [--peers] [--only MEASURE,...] [--profile]``."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.bench import Bench
from tests.bench.contestants.contestant import Contestant
from tests.bench.contestants.envoy import ENVOY
from tests.bench.contestants.gateways import LITELLM, PORTKEY
from tests.bench.contestants.nginx import NGINX
from tests.bench.contestants.ours import PASSTHROUGH, PROXY, RELAY
from tests.bench.field import DIRECT, field
from tests.bench.figures import Outcome
from tests.bench.machine import Cores, disturbance
from tests.bench.measures.everything import ALL, ASKED_FOR
from tests.bench.plan import QUICK, Plan
from tests.bench.processes import ROOT, BenchError
from tests.bench.profile import profile
from tests.bench.report import report

RESULTS = ROOT / "bench-results"
OURS = (PROXY, RELAY, PASSTHROUGH)
PEERS = (NGINX, ENVOY, PORTKEY, LITELLM)


def main() -> int:
    options = _options()
    plan = _plan(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that ends the processes
    reason = disturbance()
    if reason and not options.force:
        print(f"bench: not now: {reason}; --force measures all the same", file=sys.stderr)
        return 1
    if reason:
        _tell(f"going on although {reason}")
    _keep_off(Cores.available())
    peers = PEERS if options.peers else ()
    contestants = [each for each in (*OURS, *peers) if not each.missing]
    missing = [f"{each.name}: {each.missing}" for each in peers if each.missing]
    try:
        return _bench(options, plan, contestants, missing, reason)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _bench(
    options: argparse.Namespace,
    plan: Plan,
    contestants: Sequence[Contestant],
    missing: Sequence[str],
    disturbed: str | None,
) -> int:
    outcomes: dict[str, Outcome] = {}
    with field(contestants, plan.agents) as servers:
        bench = Bench(servers, plan, _tell)
        bench.check([DIRECT, *servers.names], plan.single)
        if options.profile:
            print(profile(bench))
            return 0
        for name in options.only:
            outcomes[name] = ALL[name](bench)
    told = report(plan, outcomes, bench.runs, missing, disturbed)
    print(told.text())
    _tell(f"all of it is in {told.save(options.output)}")
    return 1 if told.problems else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Benchmarks of the proxy.")
    parser.add_argument("--quick", action="store_true", help="in a few minutes, and less exact")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--peers", action="store_true", help="beside what peers `make bench-peers` has installed")
    parser.add_argument("--profile", action="store_true", help="sample the proxy with py-spy, in place of measuring")
    parser.add_argument(
        "--only",
        type=_measures,
        metavar="M,...",
        default=[name for name in ALL if name not in ASKED_FOR],
        help=f"of {', '.join(ALL)}; default: all but {', '.join(ASKED_FOR)}",
    )
    parser.add_argument("--rounds", type=_natural, metavar="N", help=f"default: {Plan().rounds}")
    parser.add_argument("--streams", type=_natural, metavar="N", help=f"of the paced run; default: {Plan().streams}")
    parser.add_argument("--seconds", type=_natural, metavar="S", help=f"of a paced run; default: {Plan().seconds:g}")
    parser.add_argument("--soak-minutes", type=_natural, metavar="M", help=f"default: {Plan().soak_minutes:g}")
    parser.add_argument("--output", type=Path, metavar="DIR", default=RESULTS, help="default: %(default)s")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    chosen = {name: getattr(options, name) for name in ("rounds", "streams", "seconds", "soak_minutes")}
    plan = QUICK if options.quick else Plan()
    return msgspec.structs.replace(plan, **{key: value for key, value in chosen.items() if value is not None})


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(ALL):
        raise argparse.ArgumentTypeError(f"there is no measure {', '.join(unknown)}")
    return names


def _natural(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1 up is expected")
    return int(text)


def _keep_off(cores: Cores) -> None:
    """This process stays away from the core of the server under test."""
    if cores.load is not None:
        os.sched_setaffinity(0, {cores.load})


def _tell(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
