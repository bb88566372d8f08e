"""What the bench has to know of a server to measure it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import ROOT

PEERS = ROOT / ".venv-bench"  # made by `make bench-peers`


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is put up: a folder for its files, the port to listen on, what is upstream and the agents
    there."""

    folder: Path
    port: int
    upstream: str
    agents: Sequence[str]


@dataclass(frozen=True, slots=True)
class Launch:
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contestant:
    """``launch`` writes what configuration it needs. ``openai`` names the dialect of its callers; ``headers`` are
    lines that requests to it need, given the upstream. ``most_streams`` is what it bears of a paced run, if that is
    little: its CPU per token is measured with those. ``inside`` names the contestant whose process it shares."""

    name: str
    launch: Callable[[Place], Launch]
    openai: bool = False
    prefix: str = ""
    headers: Callable[[str], str] = lambda upstream: ""
    health: str = "/health"
    most_streams: int | None = None
    missing: str | None = None
    """Why it cannot take part."""
    inside: str | None = None
