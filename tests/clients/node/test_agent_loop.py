"""A TypeScript agent loop, deploy/examples/agent_loop.ts: its types checked, its calls made by ``agent_loop.mjs``."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.node.example import prepared
from tests.clients.node.support import CUT, ENDLESS, GREETING, USAGE, block, say, wait_ended
from tests.support.processes import CREDENTIALS, Proxy, StandIn

CALL = block("get_weather", '{"city": "Recife"}')
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "loop": [say(CALL), say(GREETING)],
    "limit": [say(CALL) | {"repeat": True}],
    "models": [say(GREETING), say(GREETING)],
    "with_v1": [say(GREETING)],
    "timed_out": [ENDLESS],
    "rate_limited": [say(GREETING)],
    "refused": [{"refuse": "server_error", "repeat": True}],
    "cut": [CUT],
}
GUARDED = """
model_list:
  - {model_name: stackspot-chat, litellm_params: {model: stackspot/agent}}
proxy: {api_keys: [{name: agents, key: os.environ/AGENTS_KEY, requests_per_minute: 1}]}
"""


@pytest.fixture(scope="module")
def guarded(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that wants a key, and takes one request a minute with it."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "config.yaml").write_text(GUARDED, encoding="utf-8")
    process = Proxy(env=CREDENTIALS | stand_in.env | {"AGENTS_KEY": "planted-caller-key"}, cwd=folder)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def made(
    run_script: Callable[..., dict[str, Any]],
    proxy: Proxy,
    guarded: Proxy,
    stand_in: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What each case brought."""
    module = prepared("agent_loop.ts", tmp_path_factory.mktemp("compiled"))
    for name, script in SCRIPTS.items():
        stand_in.script(f"agent-loop-{name}", *script)
    return run_script("agent_loop.mjs", proxy.url, guarded.url, str(module))


def test_loop(made: dict[str, Any], stand_in: StandIn, proxy: Proxy) -> None:
    """The tool runs, its result goes back, and the answer has its usage and the model's name."""
    loop = made["loop"]
    assert loop["ran"] == [{"city": "Recife"}]
    assert "".join(loop["texts"]) == GREETING
    answer = loop["answer"]
    assert (answer["message"], answer["finishReason"]) == ({"role": "assistant", "content": GREETING}, "stop")
    assert answer["model"] == "stackspot-chat"
    assert list(answer["usage"].values()) == USAGE
    assert "25°C" in stand_in.requests("agent-loop-loop")[1]["body"]["user_prompt"]
    lines = proxy.events(event="request.finished", correlation_id="agent-loop-loop")
    assert [line["session"] for line in lines] == ["agent-loop-loop"] * 2


def test_step_limit(made: dict[str, Any], stand_in: StandIn) -> None:
    """A loop that does not end is ended."""
    assert (made["limit"]["name"], made["limit"]["message"]) == ("ProviderError", "no answer after 2 steps")
    assert len(stand_in.requests("agent-loop-limit")) == 2


def test_model_that_changes(made: dict[str, Any], proxy: Proxy) -> None:
    """Another model takes effect with the next call."""
    assert made["models"] == ["stackspot-chat", "stackspot-code"]
    lines = proxy.events(event="request.finished", correlation_id="agent-loop-models")
    assert [line["model"] for line in lines] == ["stackspot-ai-chat", "stackspot-ai-code"]


def test_base_url_with_v1(made: dict[str, Any]) -> None:
    """The base URL may end on /v1 or not."""
    assert made["with_v1"]["content"] == GREETING


@pytest.mark.parametrize(
    ("case", "name", "status", "code"),
    [
        ("no_such_model", "InvalidRequest", 404, "model_not_found"),
        ("wrong_key", "InvalidRequest", 401, "invalid_api_key"),
        ("rate_limited", "RateLimited", 429, "rate_limit_exceeded"),
        ("refused", "UpstreamFailed", 502, "upstream_failed"),
        ("cut", "UpstreamFailed", None, "upstream_truncated"),
        ("nobody_there", "ConnectionFailed", None, None),
    ],
)
def test_errors(made: dict[str, Any], case: str, name: str, status: int | None, code: str | None) -> None:
    """Each kind of failure has a class of its own, with the proxy's status and code."""
    error = made[case]
    assert error["ours"], error
    assert (error["name"], error.get("status"), error.get("code")) == (name, status, code)


def test_retry_after(made: dict[str, Any]) -> None:
    """Who is limited is told for how long."""
    assert 1 <= made["rate_limited"]["retryAfter"] <= 60


def test_timeout(made: dict[str, Any], stand_in: StandIn) -> None:
    """A call that takes too long ends in an error of its own, and its generation at StackSpot with it."""
    error = made["timed_out"]
    assert (error["name"], error["message"]) == ("TimedOut", "no whole answer within 300 ms")
    [request] = wait_ended(stand_in, "agent-loop-timed_out")
    assert request["end"] == "client_closed"
