"""The network between the proxy and its upstreams, and between callers and the proxy, as bad as it gets."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.caller import ask
from tests.faults.front import HASTE
from tests.faults.ground import Ground, never_faked
from tests.faults.toxics import (
    Direction,
    Link,
    Toxic,
    bandwidth,
    latency,
    limit_data,
    reset_peer,
    slicer,
    slow_close,
    timeout,
)
from tests.faults.upstream import Beside
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - {{model_name: agent, litellm_params: {{model: stackspot/agent, api_base: "{agent}"}}}}
  - {{model_name: gpt, litellm_params: {{model: openai/gpt-4, api_base: "{gpt}/v1", api_key: os.environ/KEY}}}}
router_settings: {{num_retries: 1, allowed_fails: 1000000}}
"""
TEXT = "Olá, mundo! Tudo bem com você hoje? " * 16
AT_ONCE = {"text": TEXT, "interval_s": 0}
SLOWLY = {"text": TEXT, "interval_s": 0.05}
FAILED = ("upstream.failed", "upstream.retried")
TRUNCATED, DISCONNECTED = "upstream_truncated", "upstream_disconnected"
REASONS = {TRUNCATED: TRUNCATED, DISCONNECTED: "upstream_error", None: "complete"}
Toxics = Sequence[tuple[Direction, Toxic]]
WAYS = [("agent", True), ("gpt", True), ("gpt", False)]


@dataclass
class Behind:
    """A real stand-in, seen through the link before it."""

    link: Link
    process: StandIn | Provider

    @property
    def open(self) -> int:
        return self.link.open

    def posts_of(self, correlation_id: str) -> int:
        return len(self.process.requests(correlation_id))

    def wait_over(self, correlation_id: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not all(request["end"] for request in self.process.requests(correlation_id)):
            assert time.monotonic() < deadline, "still generating"
            time.sleep(0.01)


@dataclass(frozen=True)
class Net:
    """Callers, the proxy and its upstreams, with a link between any two."""

    proxy: Proxy
    callers: Link
    upstreams: Mapping[str, Behind]
    ground: Ground


@pytest.fixture(scope="module")
def net(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("net")
    provider = Provider(folder)
    upstreams = {"agent": Behind(Link(stand_in.url), stand_in), "gpt": Behind(Link(provider.url), provider)}
    with ExitStack() as stack:
        stack.callback(provider.stop)
        for behind in upstreams.values():
            stack.enter_context(Beside(behind.link))
        (folder / "config.yaml").write_text(CONFIG.format(**{name: one.link.url for name, one in upstreams.items()}))
        env = CREDENTIALS | stand_in.env | {"KEY": "k"} | HASTE
        proxy = Proxy(env=env, cwd=folder, module="tests.faults.telling")
        stack.callback(proxy.stop)
        callers = Link(proxy.url)
        stack.enter_context(Beside(callers))
        for model, streamed in WAYS:
            assert ask(proxy.url, "warm", model=model, stream=streamed).complete
        yield Net(proxy, callers, upstreams, Ground(proxy, *upstreams.values()))


def mended(net: Net) -> None:
    for link in (net.callers, *(behind.link for behind in net.upstreams.values())):
        link.spoil()
    time.sleep(0.05)  # until the proxy has seen what was closed


# What is between the proxy and the upstream: the toxics, the answer, the error and the requests that arrive.
UPSTREAM: Mapping[str, tuple[Toxics, dict[str, Any], str | None, int]] = {
    "latency": ([("up", latency(0.05)), ("down", latency(0.05))], AT_ONCE, None, 1),
    "bandwidth": ([("down", bandwidth(100_000))], AT_ONCE, None, 1),
    "slicer": ([("down", slicer(101, 0.001))], AT_ONCE, None, 1),
    "slicer of requests": ([("up", slicer(50, 0.001))], AT_ONCE, None, 1),
    "slow_close": ([("down", slow_close(0.3))], AT_ONCE, None, 1),
    "limit_data": ([("down", limit_data(900))], AT_ONCE, TRUNCATED, 1),
    "limit_data in the headers": ([("down", limit_data(20))], AT_ONCE, DISCONNECTED, 1),
    "limit_data of requests": ([("up", limit_data(100))], AT_ONCE, DISCONNECTED, 0),
    "timeout": ([("down", timeout(0.2))], AT_ONCE, DISCONNECTED, 1),
    "reset_peer": ([("down", reset_peer(0.3))], SLOWLY, TRUNCATED, 1),
}  # fmt: skip
FAR = [(name, *way) for name in UPSTREAM for way in WAYS if (name, *way) != ("reset_peer", "gpt", False)]


@pytest.mark.parametrize(("name", "model", "streamed"), FAR)
def test_towards_the_upstream(net: Net, correlation_id: str, name: str, model: str, streamed: bool) -> None:
    toxics, answer, code, posts = UPSTREAM[name]
    mended(net)
    behind = net.upstreams[model]
    behind.process.script(correlation_id, *[answer] * 2)
    behind.link.spoil(*toxics)
    with net.ground.kept(correlation_id, reason=REASONS[code], posts=posts, warnings=FAILED if code else ()):
        told = ask(net.proxy.url, correlation_id, model=model, stream=streamed)
    assert told.ended
    assert code == told.code
    if code is None:
        assert (TEXT, True) == (told.text, told.complete)
        return
    never_faked(told)
    assert (200 if streamed and code == TRUNCATED else 502) == told.status
    assert TEXT.startswith(told.text)
    assert bool(told.text) is (streamed and code == TRUNCATED)


# What is between the caller and the proxy: the toxics, the answer, and whether the caller gets all of it.
CALLERS: Mapping[str, tuple[Toxics, dict[str, Any], bool]] = {
    "latency": ([("up", latency(0.05)), ("down", latency(0.05))], AT_ONCE, True),
    "bandwidth": ([("down", bandwidth(100_000))], AT_ONCE, True),
    "slicer": ([("down", slicer(101, 0.001))], AT_ONCE, True),
    "slicer of requests": ([("up", slicer(3, 0.001))], AT_ONCE, True),
    "slow_close": ([("down", slow_close(0.3))], AT_ONCE, True),
    "limit_data": ([("down", limit_data(900))], SLOWLY, False),
    "timeout": ([("down", timeout(0.4))], SLOWLY, False),
    "reset_peer": ([("down", reset_peer(0.4))], SLOWLY, False),
}
NEAR = [(name, *way) for name in CALLERS for way in (WAYS[0], WAYS[2]) if (name, *way) != ("limit_data", "gpt", False)]


@pytest.mark.parametrize(("name", "model", "streamed"), NEAR)
def test_towards_the_caller(net: Net, correlation_id: str, name: str, model: str, streamed: bool) -> None:
    toxics, answer, arrives = CALLERS[name]
    mended(net)
    net.upstreams[model].process.script(correlation_id, answer)
    net.callers.spoil(*toxics)
    with net.ground.kept(correlation_id, reason="complete" if arrives else "client_disconnect", posts=1):
        told = ask(net.callers.url, correlation_id, model=model, stream=streamed)
    assert arrives is told.ended
    if arrives:
        assert (TEXT, True) == (told.text, told.complete)
        return
    assert 499 == net.proxy.wait_event(event="request.finished", correlation_id=correlation_id)["status"]
    (request,) = net.upstreams[model].process.requests(correlation_id)
    assert "client_closed" == request["end"]
