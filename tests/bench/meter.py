"""Time, tokens and CPU of a window of a run."""

import time
from collections.abc import Sequence

import psutil

from tests.bench.client import Tally
from tests.bench.jobs import Run


class Meter:
    """Times a window of a run."""

    def __init__(self, tally: Tally, server: int, beside: Sequence[int]) -> None:
        self._tally = tally
        self._server = psutil.Process(server)
        self._helpers = [psutil.Process(pid) for pid in {*beside, psutil.Process().pid} - {server}]
        self._before = self._read()
        self._tally.gaps = self._tally.gaps[:0]

    def run(self) -> Run:
        """What happened since the meter was made."""
        seconds, tokens, frames, cpu, others = (
            now - before for now, before in zip(self._read(), self._before, strict=True)
        )
        return Run(seconds, int(tokens), int(frames), cpu, others, gaps=_spread(list(self._tally.gaps)))

    def _read(self) -> tuple[float, ...]:
        cpu, helpers = _cpu(self._server), sum(_cpu(helper) for helper in self._helpers)
        machine = psutil.cpu_times()
        busy = sum(machine[:8]) - machine.idle - getattr(machine, "iowait", 0)
        return time.monotonic(), self._tally.tokens, self._tally.frames, cpu, busy - cpu - helpers


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _spread(values: list[float]) -> tuple[float, float, float]:
    values.sort()
    return (values[len(values) // 2], values[len(values) * 99 // 100], values[-1]) if values else (0, 0, 0)
