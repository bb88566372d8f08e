"""Proxies for what hostile callers send (before a StackSpot that answers at once) and what hostile upstreams do."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.hostile.asking import start
from tests.faults.hostile.upstream import Upstream, upstream_of
from tests.support.processes import CREDENTIALS, Proxy, StandIn

CONFIG = """
model_list:
  - {model_name: chat, litellm_params: {model: stackspot/agent}}
router_settings: {num_retries: 0}
proxy: {timeouts: {request_body: 1, write_stall: 1}, limits: {max_body_mb: 10}}
"""
FAULTS_OF_OURS = ("request.failed", "library.message", "process.crashed")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Says Hi unless it is scripted otherwise."""
    process = StandIn(tmp_path_factory.mktemp("agent"))
    process.script("*", {"deltas": ["Hi"], "repeat": True})
    yield process
    process.stop()


@pytest.fixture(scope="module")
def quick(agent: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose time-outs for callers are a second."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    proxy = Proxy(env=CREDENTIALS | agent.env, cwd=folder)
    yield proxy
    assert 0 == proxy.stop()


@pytest.fixture(scope="module", params=["plain", "TLS"])
def raw(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    with upstream_of(tmp_path_factory.mktemp("tls") if request.param == "TLS" else None) as found:
        yield found


@pytest.fixture(scope="module")
def before_raw(raw: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before the raw upstream that repeats nothing."""
    process = start(raw, tmp_path_factory.mktemp("before_raw"))
    yield process
    assert 0 == process.stop()


def calm(proxy: Proxy, since: int) -> None:
    """It is still there, and nothing since that line was its own fault."""
    assert 200 == proxy.client.get("/health").status_code
    lines = proxy.lines[since:]
    assert [] == [
        line for line in lines if any(f'"{event}"' in line for event in FAULTS_OF_OURS) or "Traceback" in line
    ]
    assert all(line.startswith("{") for line in lines), "nothing but log events"


def logged(proxy: Proxy, since: int, text: str) -> list[str]:
    """The lines since that one that have ``text`` in them; the log may be a moment behind the connection."""
    deadline = time.monotonic() + 2
    while not (found := [line for line in proxy.lines[since:] if text in line]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found
