"""Time, tokens, CPU and memory of a window of a run."""

import time
from collections.abc import Sequence

import psutil

from tests.bench.client import Tally
from tests.bench.jobs import Run


class Meter:
    """Times a window of a run."""

    def __init__(self, tally: Tally, server: int, beside: Sequence[int]) -> None:
        self._tally = tally
        self._server = _family(server)
        known = {process.pid for process in self._server}
        self._helpers = [psutil.Process(pid) for pid in {*beside, psutil.Process().pid} - known]
        self._before = self._read()
        tally.gaps = tally.gaps[:0]
        tally.silence, tally.heard = 0.0, time.monotonic()

    def run(self) -> Run:
        """What happened since the meter was made."""
        seconds, tokens, frames, cpu, others = (
            now - before for now, before in zip(self._read(), self._before, strict=True)
        )
        gaps, silence = _spread(list(self._tally.gaps)), self._tally.silence
        memory = sum(process.memory_info().rss for process in self._server)
        return Run("", seconds, int(tokens), int(frames), cpu, others, memory, gaps, silence)

    def _read(self) -> tuple[float, ...]:
        cpu, helpers = (sum(_cpu(process) for process in of) for of in (self._server, self._helpers))
        machine = psutil.cpu_times()
        busy = sum(machine[:8]) - machine.idle - getattr(machine, "iowait", 0)
        return time.monotonic(), self._tally.tokens, self._tally.frames, cpu, busy - cpu - helpers


def memory_of(pid: int) -> int:
    """The resident memory of a process and its children, in bytes."""
    return sum(process.memory_info().rss for process in _family(pid))


def _family(pid: int) -> list[psutil.Process]:
    """A server may be several processes, all of which work for it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _spread(values: list[float]) -> tuple[float, float, float]:
    values.sort()
    return (values[len(values) // 2], values[len(values) * 99 // 100], values[-1]) if values else (0, 0, 0)
