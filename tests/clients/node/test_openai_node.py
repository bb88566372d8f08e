"""openai-node against a running proxy: the calls are made by ``openai_node.mjs``."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.node.support import (
    BAD_JSON,
    CUT,
    ENDED,
    ENDLESS,
    FINAL_TEXT,
    GOOD_JSON,
    GREETING,
    LOOP,
    LOOP_CALLS,
    NO_ARGUMENTS,
    ONE_CALL,
    PIECES,
    REPORT,
    TWO_CALLS,
    USAGE,
    say,
    wait_ended,
)
from tests.support.processes import CREDENTIALS, Proxy, StandIn

NAMES = [
    "stackspot-ai-chat",
    "stackspot",
    "stackspot-chat",
    "stackspot-ai-code",
    "stackspot-code",
    "stackspot-ai-assistant",
    "stackspot-assistant",
]
WHOLE = {"model": "stackspot-chat", "content": GREETING, "finish_reason": "stop", "calls": [], "usage": USAGE}
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "whole": [say(GREETING)],
    "streamed": [say(GREETING)],
    "streamed_with_usage": [say(GREETING)],
    "header_of_one_call": [say(GREETING)],
    "base_url_without_v1": [say(GREETING)],
    "session": [say(GREETING)],
    "helper": [say(GREETING)],
    "helper_calls": [say(TWO_CALLS)],
    "run_tools": [say(NO_ARGUMENTS), *LOOP],
    "run_tools_streamed": [say(NO_ARGUMENTS), *LOOP],
    "parse": [say(BAD_JSON), say(GOOD_JSON)],
    "parse_streamed": [say(BAD_JSON), say(GOOD_JSON)],
    "rate_limit": [{"refuse": "rate_limited", "repeat": True}],
    "refused": [{"refuse": "server_error", "repeat": True}],
    "hopeless": [{"refuse": "forbidden", "repeat": True}],
    "cut": [CUT | {"repeat": True}],
    "cut_streamed": [CUT],
    "ended_streamed": [ENDED],
    "error_streamed": [{"deltas": PIECES, "interval_s": 0.02, "error": {"form": "type", "after": 3}}],
    "cut_helper": [CUT],
    "cut_run_tools": [say(ONE_CALL), CUT],
    "break_off": [ENDLESS],
    "abort_helper": [ENDLESS],
    "abort_whole": [ENDLESS],
}
ONE_MODEL = """
model_list:
  - {model_name: stackspot-chat, litellm_params: {model: stackspot/agent}}
"""


@pytest.fixture(scope="module")
def limited(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy whose account is told to slow down, which concerns no other test."""
    folder = tmp_path_factory.mktemp("limited")
    (folder / "config.yaml").write_text(ONE_MODEL, encoding="utf-8")
    process = Proxy(env=CREDENTIALS | stand_in.env, cwd=folder)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def made(run_script: Callable[..., dict[str, Any]], proxy: Proxy, limited: Proxy, stand_in: StandIn) -> dict[str, Any]:
    """What each case brought."""
    for name, script in SCRIPTS.items():
        stand_in.script(f"openai-node-{name}", *script)
    return run_script("openai_node.mjs", proxy.url, limited.url)


@pytest.mark.parametrize("name", ["whole", "header_of_one_call", "base_url_without_v1"])
def test_completion(made: dict[str, Any], name: str) -> None:
    """An answer arrives as one completion, by each way to send the header, and without /v1 in the base URL."""
    assert WHOLE == made[name]


def test_stream(made: dict[str, Any]) -> None:
    """The same answer arrives in chunks of one choice each, and no usage that nobody asked for."""
    stream = made["streamed"]
    assert "".join(stream["pieces"]) == GREETING
    assert stream["finish_reasons"] == ["stop"]
    assert set(stream["choices"]) == {1}
    assert not any(stream["usages"])
    assert stream["raised"] is None


def test_stream_with_usage(made: dict[str, Any]) -> None:
    """Usage that is asked for comes in one last chunk that has no choices."""
    stream = made["streamed_with_usage"]
    assert "".join(stream["pieces"]) == GREETING
    assert stream["choices"][-1] == 0
    assert set(stream["choices"][:-1]) == {1}
    assert stream["usages"][-1] == USAGE[:2]
    assert not any(stream["usages"][:-1])


def test_session(made: dict[str, Any], proxy: Proxy) -> None:
    """A session id in the body is no error, and stands in the log line."""
    line = proxy.wait_event(event="request.finished", correlation_id="openai-node-session")
    assert line["session"] == "task-123"
    assert "metadata" in made["session"]["ignored"]


def test_stream_helper(made: dict[str, Any]) -> None:
    """The helper's events add up to the text, each end comes once, and the final completion has the usage."""
    final, events = made["helper"]["final"], made["helper"]["events"]
    assert WHOLE == final
    assert "".join(events["content.delta"]) == GREETING
    assert (events["content.done"], events["finalContent"], events["end"]) == ([GREETING], [GREETING], [True])


def test_stream_helper_with_calls(made: dict[str, Any]) -> None:
    """Two calls in one answer stay apart in the helper's events and in the final completion."""
    final, events, ids = (made["helper_calls"][key] for key in ("final", "events", "ids"))
    assert (LOOP_CALLS[1:], "tool_calls") == (final["calls"], final["finish_reason"])
    assert not final["content"]
    assert [[0, "buscar_tempo"], [1, "buscar_tempo"]] == [done[:2] for done in events["done"]]
    assert [done[2] for done in events["done"]] == [events["deltas"]["0"], events["deltas"]["1"]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("name", ["run_tools", "run_tools_streamed"])
def test_run_tools(made: dict[str, Any], name: str) -> None:
    """The loop makes every call in its order, one without arguments too, and ends on the last word."""
    loop = made[name]
    assert [["listar_cidades", {}], *LOOP_CALLS] == loop["ran"]
    assert [[["listar_cidades", {}]], LOOP_CALLS[:1], LOOP_CALLS[1:], []] == [step["calls"] for step in loop["steps"]]
    assert ["tool_calls", "tool_calls", "tool_calls", "stop"] == [step["finish_reason"] for step in loop["steps"]]
    assert [None, None, None, FINAL_TEXT] == [step["content"] or None for step in loop["steps"]]
    assert [USAGE] * 4 == [step["usage"] for step in loop["steps"]]
    assert [4 * count for count in USAGE] == loop["total_usage"]
    roles = "user assistant tool assistant tool assistant tool tool assistant"
    assert roles.split() == loop["roles"]
    assert loop["content"] == FINAL_TEXT


def test_run_tools_results_go_back(made: dict[str, Any], stand_in: StandIn) -> None:
    """What the tools returned is in the next prompts."""
    prompts = [request["body"]["user_prompt"] for request in stand_in.requests("openai-node-run_tools")]
    assert len(prompts) == 4
    assert "BR-SP" in prompts[2]
    assert "25°C em BR-SP" in prompts[3]
    assert "25°C em BR-DF" in prompts[3]


@pytest.mark.parametrize("name", ["parse", "parse_streamed"])
def test_parse(made: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """An answer that does not fit the zod schema is asked for again, out of the client's sight."""
    assert REPORT == made[name]
    assert len(stand_in.requests(f"openai-node-{name}")) == 2


def test_models(made: dict[str, Any]) -> None:
    """The names and aliases of the config are listed, without a correlation id."""
    assert [[name, "model", "stackspot"] for name in NAMES] == made["models"]


@pytest.mark.parametrize("name", ["no_id", "no_id_streamed"])
def test_missing_correlation_id(made: dict[str, Any], name: str) -> None:
    """Without a correlation id the request is wrong, and the message says which header to send."""
    error = made[name]
    assert ("BadRequestError", 400, "correlation_id_missing") == (error["raised"], error["status"], error["code"])
    assert error["type"] == "invalid_request_error"
    assert "'correlation-id'" in error["message"]
    assert error["request_id"]


@pytest.mark.parametrize("name", ["unknown_model", "unknown_model_retrieved"])
def test_unknown_model(made: dict[str, Any], name: str) -> None:
    """A model that is not configured is not found."""
    error = made[name]
    assert ("NotFoundError", 404, "model_not_found") == (error["raised"], error["status"], error["code"])


def test_wrong_field(made: dict[str, Any]) -> None:
    """A field that is wrong is named."""
    error = made["wrong_field"]
    assert ("BadRequestError", 400, "temperature") == (error["raised"], error["status"], error["param"])


def test_rate_limit(made: dict[str, Any]) -> None:
    """StackSpot's rate limit is a 429 that says when to come again."""
    error = made["rate_limit"]
    assert ("RateLimitError", 429, "rate_limit_exceeded") == (error["raised"], error["status"], error["code"])
    assert 1 <= int(error["retry_after"]) <= 60


def test_failure_before_the_stream(made: dict[str, Any]) -> None:
    """A failure before the first byte of a stream is a real status."""
    error = made["refused"]
    assert ("InternalServerError", 502, "upstream_failed") == (error["raised"], error["status"], error["code"])
    assert error["correlation_id"] == "openai-node-refused"


def test_hopeless_failure_is_not_retried(made: dict[str, Any], stand_in: StandIn) -> None:
    """What another try cannot mend is asked for once, though the SDK would retry a 502."""
    error = made["hopeless"]
    assert ("InternalServerError", 502, "upstream_forbidden") == (error["raised"], error["status"], error["code"])
    assert len(stand_in.requests("openai-node-hopeless")) in (1, 2)  # the second with a new login


def test_cut_answer_that_is_not_streamed(made: dict[str, Any]) -> None:
    """Half an answer is an error where no stream was asked for, not a completion."""
    error = made["cut"]
    assert ("InternalServerError", 502, "upstream_truncated") == (error["raised"], error["status"], error["code"])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cut_streamed", "upstream_truncated"),
        ("ended_streamed", "upstream_truncated"),
        ("error_streamed", "upstream_stream_error"),
    ],
)
def test_failure_in_mid_stream(made: dict[str, Any], name: str, code: str) -> None:
    """A stream that breaks raises behind the text that came before, and never looks complete."""
    stream = made[name]
    assert "".join(stream["pieces"]) == "".join(PIECES)
    assert stream["finish_reasons"] == []
    assert (True, code, "server_error") == (stream["is_api_error"], stream["code"], stream["type"])


@pytest.mark.parametrize("name", ["cut_helper", "cut_run_tools"])
def test_failure_under_a_helper(made: dict[str, Any], name: str) -> None:
    """The SDK's helpers reject just the same."""
    error = made[name]
    assert (True, "upstream_truncated") == (error["is_api_error"], error["code"])


def test_failure_in_a_tool_loop(made: dict[str, Any]) -> None:
    """The calls before the failure were made, once."""
    assert made["cut_run_tools"]["ran"] == LOOP_CALLS[:1]


@pytest.mark.parametrize("name", ["break_off", "abort_helper", "abort_whole"])
def test_leaving_closes_the_upstream(made: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """A caller that leaves half-way ends the generation within a second."""
    [request] = wait_ended(stand_in, f"openai-node-{name}")
    assert request["end"] == "client_closed"
    assert request["seconds"] - made[name]["seconds"] < 1


@pytest.mark.parametrize("name", ["abort_helper", "abort_whole"])
def test_abort_is_told(made: dict[str, Any], name: str) -> None:
    """Whoever waits for an aborted answer hears that it was aborted."""
    assert made[name]["raised"] == "APIUserAbortError"
