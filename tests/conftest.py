"""Fixtures that more than one folder uses: the real processes, and an id of its own for every test."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.processes import CREDENTIALS, ROOT, Proxy, StandIn
from tests.support.tools import WITHOUT_TOOLS

collect_ignore = ["deploy", "page"] if os.environ.get(WITHOUT_TOOLS) else []
"""Their imports belong to what ``make test`` does not install."""
ONCE = "router_settings: {num_retries: 0}\n"
_COUNT = itertools.count(1)
Launch = Callable[..., Proxy]


@pytest.fixture(scope="session", autouse=True)
def nothing_is_told_at_the_end() -> Iterator[None]:
    """The same of what the processes of the whole session write when they are stopped."""
    yield
    assert [] == leaks.taken()


@pytest.fixture(autouse=True)
def nothing_is_told() -> Iterator[None]:
    """No process of any test writes a secret, a prompt or an answer: those that a test plants, and tokens."""
    yield
    assert [] == leaks.taken()


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The simulator, shared by all tests: script it under a correlation id of your own."""
    process = StandIn(tmp_path_factory.mktemp("stand_in"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def proxy(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy in front of the simulator, with the models of the shipped config.yaml, shared by all tests: without
    the quota, which they would spend, and without retries, so that each upstream call is one that was asked for."""
    folder = tmp_path_factory.mktemp("proxy")
    models = (ROOT / "config.yaml").read_text(encoding="utf-8").partition("\nproxy:")[0]
    (folder / "config.yaml").write_text(f"{models}\n{ONCE}", encoding="utf-8")
    process = Proxy(env=CREDENTIALS | stand_in.env, cwd=folder)
    yield process
    assert process.stop() == 0


@pytest.fixture
def launch(stand_in: StandIn, tmp_path: Path) -> Iterator[Launch]:
    """Starts a proxy with a config and an environment of its own; it is stopped behind the test."""
    started: list[Proxy] = []

    def start(config: str | None = None, *, env: Mapping[str, str] | None = None, module: str = "proxy") -> Proxy:
        if config is not None:
            (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
        process = Proxy(env=CREDENTIALS | stand_in.env | dict(env or {}), cwd=tmp_path, module=module)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def correlation_id() -> str:
    """An id that no other test uses."""
    return f"test-{next(_COUNT)}"
