"""How many connections the process has file descriptors for."""

import resource
from pathlib import Path

import structlog

log = structlog.get_logger()

OWN = 48
"""Descriptors beside those of callers and upstreams: logins, Redis, files, and connections for probes."""


def affordable(connections: int, streams: int) -> int:
    """``connections``, or as many as the process has descriptors for. Each of ``streams`` takes one for its upstream.

    The soft limit of the process is raised up to its hard limit first. A lower number is logged as
    ``connections.limited``.
    """
    used = _used()
    wanted = used + OWN + connections + min(streams, connections)
    descriptors = _raise_limit(wanted)
    if descriptors >= wanted:
        return connections
    free = max(descriptors - used - OWN, 2)
    fitting = max(free - streams, free // 2)
    log.warning(
        "connections.limited",
        max_connections=fitting,
        reason=f"limits.max_connections is {connections}, which takes {wanted} file descriptors with those of the "
        f"upstreams; the process may open {descriptors}: raise it (ulimit -n, LimitNOFILE) or lower max_connections",
    )
    return fitting


def _used() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except OSError:
        return 32  # no Linux: about what a start takes


def _raise_limit(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        except (OSError, ValueError):
            return soft
        return raised
    return soft
