"""LiteLLM's four calls against a running proxy, made by ``calls.py`` in LiteLLM's own environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import environment, plain_environment
from tests.support.processes import Proxy, StandIn

DELTAS = [*"Olá, tudo", " bem?"]
ANSWER = {"deltas": DELTAS, "interval_s": 0.05, "tokens": {"input": 12, "output": 7}}
EXPECTED = {
    "model": "stackspot-chat",
    "content": "Olá, tudo bem?",
    "finish_reason": "stop",
    "usage": [12, 7, 19],
    "tool_calls": [],
}
RESULT = "Tempo em São Paulo: 25°C, ensolarado"


@pytest.fixture(scope="module")
def calls(proxy: Proxy, stand_in: StandIn) -> dict[str, Any]:
    """What each of LiteLLM's calls brought."""
    python = environment("litellm") / "python"
    for name in ("completion", "streaming", "acompletion", "astreaming"):
        stand_in.script(f"litellm-{name}", ANSWER)
    stand_in.script(
        "litellm-cut", {"deltas": ["One ", "two "], "interval_s": 0.02, "cut": {"how": "close", "after": 2}}
    )
    run = subprocess.run(
        [python, Path(__file__).with_name("calls.py"), proxy.url],
        env=plain_environment(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_TELEMETRY="False"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    results: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return results


@pytest.mark.parametrize("name", ["completion", "acompletion"])
def test_completion(calls: dict[str, Any], name: str) -> None:
    """The answer comes whole, with StackSpot's counts."""
    assert calls[name] == EXPECTED


@pytest.mark.parametrize("name", ["streaming", "astreaming"])
def test_streaming(calls: dict[str, Any], name: str) -> None:
    """The same answer comes in pieces, not all at once."""
    pieces = calls[name]["pieces"]
    assert calls[name] == EXPECTED | {"pieces": pieces}
    assert "".join(pieces) == EXPECTED["content"]
    assert len(pieces) > 5


@pytest.mark.parametrize("name", ["tools", "streamed_tools"])
def test_tools(calls: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """A tool is called, its result goes back, and the answer has it."""
    first, second = calls[name]
    [call] = first["tool_calls"]
    assert (call["name"], call["arguments"]) == ("buscar_tempo", {"cidade": "São Paulo"})
    assert first["finish_reason"] == "tool_calls"
    assert not first["content"]
    assert (second["content"], second["finish_reason"]) == (f"Here is what I found: {RESULT}", "stop")
    assert second["tool_calls"] == []
    assert RESULT in stand_in.requests(f"litellm-{name}")[1]["body"]["user_prompt"]


def test_missing_correlation_id(calls: dict[str, Any]) -> None:
    """Without a correlation id LiteLLM raises what the proxy says."""
    assert calls["missing_id"] == {"raised": "BadRequestError", "status": 400, "code": "correlation_id_missing"}


def test_failure_in_mid_stream(calls: dict[str, Any]) -> None:
    """A stream that breaks off raises behind the text that came before."""
    assert calls["cut"] == {"raised": "MidStreamFallbackError", "text": "One two "}
