"""Where the proxy's time goes while it is measured: sampled by py-spy, C code included."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.contestants.ours import PROXY
from tests.bench.jobs import Burst, Paced
from tests.bench.plan import PROFILE_S
from tests.bench.processes import BenchError

SECONDS = PROFILE_S - 2  # are sampled
RATE = 500
LINES = 25

_PYTHON = re.compile(r"(.*) \((.*\.py|<.*>):\d+\)$")
_WAITING = ("epoll_wait", "epoll_pwait")
_CALLS = ("write ", "read ", "writev", "send", "recv")


def profile(bench: Bench) -> str:
    """The functions that cost most, of a paced run and of a burst."""
    plan, field = bench.plan, bench.field
    paced = field.target(PROXY.name, plan.paced(plan.streams, PROFILE_S))
    burst = field.target(PROXY.name, plan.burst)
    jobs: dict[str, Paced | Burst] = {
        f"paced, {plan.streams} streams": Paced(paced, plan.streams, PROFILE_S, beside=field.helpers),
        f"burst, {plan.callers} callers": Burst(burst, plan.callers, PROFILE_S, beside=field.helpers),
    }
    told = []
    for what, job in jobs.items():
        bench.tell(f"profile: {what}")
        told.append(f"Profile, {what}\n{_top(_sampled(bench, job))}")
    return "\n\n".join(told)


def _sampled(bench: Bench, job: Paced | Burst) -> list[str]:
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if spy is None:
        raise BenchError("py-spy is missing: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder, "stacks")
        command = [spy, "record", "--pid", str(job.target.pid), "--duration", f"{SECONDS:g}", "--rate", str(RATE)]
        sampler = subprocess.Popen(
            [*command, "--native", "--format", "raw", "--output", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        bench.do("profile", job)
        sampler.wait(SECONDS)
        return file.read_text().splitlines()


def _top(stacks: Iterable[str]) -> str:
    """Shares of the time in which the process did not wait for anything to come."""
    own, inclusive, total = Counter[str](), Counter[str](), 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if frames[-1].startswith(_WAITING):
            continue
        names = [f"{found[1]}  {found[2]}" for frame in frames if (found := _PYTHON.match(frame))]
        leaf = frames[-1] if frames[-1].startswith(_CALLS) else names[-1] if names else frames[-1]
        total += int(count)
        own[leaf] += int(count)
        for name in set(names):
            inclusive[name] += int(count)
    columns = {"itself": own, "with what it calls": inclusive}
    return "\n".join(
        f"  {title}:\n" + "\n".join(f"    {count / total:6.1%}  {name}" for name, count in of.most_common(LINES))
        for title, of in columns.items()
        if total
    )
