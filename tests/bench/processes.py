"""The bench's processes: pinned, heard through a file, ended by their id whatever happens."""

import contextlib
import ctypes
import os
import signal
import socket
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
START_S = 90  # LiteLLM takes its time on a busy machine
STOP_S = 5
KNOCK_EVERY_S = 0.002
LOG = "server.log"
LAST_WORDS = 2000  # characters of a log that are shown

_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class BenchError(Exception):
    """The bench cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on the loopback interface. ``started_s`` is what it took from its process's start to
    its first 200."""

    pid: int
    port: int
    started_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    core: int | None,
    folder: Path,
    env: Mapping[str, str] | None = None,
    health: str = "/health",
) -> Iterator[Server]:
    """Runs a command as a server on ``port`` while the context lasts. Its output goes to a file in ``folder``, where
    it also works; it has started when ``health`` is answered with 200."""
    passed_on = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    log = folder / LOG
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**passed_on, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the bench, which then ends them in order
            preexec_fn=partial(_in_child, core),
        )
    try:
        while not _healthy(port, health):
            if process.poll() is not None or time.monotonic() - began > START_S:
                raise BenchError(f"{name} did not start:\n{last_words(log)}")
            time.sleep(KNOCK_EVERY_S)
        yield Server(process.pid, port, time.monotonic() - began)
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
            timeout=job.seconds + 3 * GRACE_S,
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


def _healthy(port: int, path: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as knock:
            knock.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
            return knock.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
