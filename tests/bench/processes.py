"""The bench's processes: pinned, heard through a file, ended by their id whatever happens."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from tests.bench.jobs import GRACE_S, Job, Run

ROOT = Path(__file__).parents[2]
START_S = 20
STOP_S = 5
LAST_WORDS = 2000  # characters of a log that are shown

_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class BenchError(Exception):
    """The bench cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on the loopback interface."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(
    arguments: Sequence[str],
    *,
    core: int | None,
    folder: Path,
    env: Mapping[str, str] | None = None,
    ready: str = r"listening on http://127\.0\.0\.1:(\d+)",
) -> Iterator[Server]:
    """Runs a module as a server while the context lasts. Its output goes to a file in ``folder``, where it also
    works; ``ready`` is what it writes once it listens, with the port in a group."""
    passed_on = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    log = folder / f"{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**passed_on, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the bench, which then ends them in order
            preexec_fn=partial(_in_child, core),
        )
    try:
        yield Server(process.pid, _port(process, log, ready))
    finally:
        _stop(process)


def load(job: Job, core: int | None) -> Run:
    """Does a job in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.load"],
            input=msgspec.json.encode(job),
            capture_output=True,
            cwd=ROOT,
            timeout=job.seconds + 2 * GRACE_S,
            start_new_session=True,
            preexec_fn=partial(_in_child, core),
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise BenchError(f"the load failed:\n{error.stderr.decode(errors='replace')[-LAST_WORDS:]}") from None
    except subprocess.TimeoutExpired:
        raise BenchError("the load did not end in time") from None
    return msgspec.json.decode(done.stdout, type=Run)


def last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-LAST_WORDS:].strip()


def _in_child(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    if _libc is not None:
        _libc.prctl(_END_WITH_PARENT, signal.SIGKILL)


def _port(process: "subprocess.Popen[bytes]", log: Path, ready: str) -> int:
    """The port, once the server has told it."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(ready, log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)
    raise BenchError(f"{log.stem} did not start:\n{last_words(log)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
