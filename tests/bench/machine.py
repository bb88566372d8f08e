"""The machine: which core each process runs on, and whether this is a time to measure anything."""

import os
from functools import cache
from typing import NamedTuple

import psutil

BUSY_CPU = 0.15  # of the CPU, all cores together
BUSY_LOAD = 0.9  # of the cores


class Cores(NamedTuple):
    """Where each process is pinned to; None where there is nothing to choose from."""

    server: int | None
    load: int | None
    upstream: int | None

    @classmethod
    @cache
    def available(cls) -> "Cores":
        """As it was when first asked: the bench pins itself, too."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return cls(cores[0], cores[1], cores[-1]) if len(cores) > 1 else cls(None, None, None)


def disturbance() -> str | None:
    """Why this is no time for measuring, if it is none."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    if load > BUSY_LOAD * cores:
        return f"the load average is {load:.2f} on {cores} cores; a minute of quiet brings it down"
    busy = psutil.cpu_percent(interval=1) / 100
    if busy > BUSY_CPU:
        return f"other processes use {busy:.0%} of the CPU"
    return None
