"""Vercel's AI SDK against a running proxy: the calls are made by ``ai_sdk.mjs``."""

from collections.abc import Callable
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
    USAGE,
    say,
    wait_ended,
)
from tests.support.processes import Proxy, StandIn

CUT_AFTER_CALL = CUT | {"deltas": [f"{ONE_CALL}\n", "FUNCTION_CALL_START\nbuscar_tempo\n", 'arguments: {"id": "BR']}
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "generate": [say(GREETING)],
    "stream": [say(GREETING)],
    "stream_parts": [say(GREETING)],
    "header_of_one_call": [say(GREETING)],
    "generate_steps": LOOP,
    "stream_steps": LOOP,
    "agent_steps": LOOP,
    "agent_stream_steps": LOOP,
    "generate_limit": [say(ONE_CALL) | {"repeat": True}],
    "stream_limit": [say(ONE_CALL) | {"repeat": True}],
    "generate_no_arguments": [say(NO_ARGUMENTS), say(FINAL_TEXT)],
    "stream_no_arguments": [say(NO_ARGUMENTS), say(FINAL_TEXT)],
    "required": [say("Vou buscar."), say(ONE_CALL)],
    "stream_required": [say("Vou buscar."), say(ONE_CALL)],
    "stream_parts_of_calls": LOOP,
    "output": [say(GOOD_JSON)],
    "output_fenced": [say(f"```json\n{GOOD_JSON}\n```")],
    "output_repaired": [say(BAD_JSON), say(GOOD_JSON)],
    "output_streamed": [say(BAD_JSON), say(GOOD_JSON)],
    "generate_object": [say(BAD_JSON), say(GOOD_JSON)],
    "output_hopeless": [say(BAD_JSON) | {"repeat": True}],
    "generate_cut": [CUT | {"repeat": True}],
    "stream_cut": [CUT],
    "stream_ended": [ENDED],
    "stream_cut_after_call": [CUT_AFTER_CALL],
    "generate_refused": [{"refuse": "server_error", "repeat": True}],
    "stream_refused": [{"refuse": "server_error", "repeat": True}],
    "stream_abort": [ENDLESS],
}


@pytest.fixture(scope="module")
def made(run_script: Callable[..., dict[str, Any]], proxy: Proxy, stand_in: StandIn) -> dict[str, Any]:
    """What each case brought."""
    for name, script in SCRIPTS.items():
        stand_in.script(f"ai-sdk-{name}", *script)
    return run_script("ai_sdk.mjs", proxy.url)


def step(calls: list[Any], results: list[str], text: str = "") -> dict[str, Any]:
    """A step as the SDK tells of it."""
    return {
        "text": text,
        "calls": calls,
        "results": results,
        "finish_reason": "tool-calls" if calls else "stop",
        "usage": USAGE,
        "model": "stackspot-chat",
    }


def loop(*steps: dict[str, Any]) -> dict[str, Any]:
    """A whole loop of these steps, all of whose calls were made in their order."""
    return {
        "text": steps[-1]["text"],
        "finish_reason": steps[-1]["finish_reason"],
        "usage": [len(steps) * count for count in USAGE],
        "steps": list(steps),
        "ran": [call for step in steps for call in step["calls"]],
    }


@pytest.mark.parametrize("name", ["generate", "stream", "header_of_one_call"])
def test_text(made: dict[str, Any], name: str) -> None:
    """An answer arrives with its finish reason, StackSpot's counts and the model's name."""
    answer = loop(step([], [], GREETING))
    del answer["ran"]
    assert answer == made[name]


def test_stream_parts(made: dict[str, Any]) -> None:
    """A stream begins and ends once at each level, with the text in between and no error."""
    parts = made["stream_parts"]
    first, *deltas, last = [part for part in parts["types"] if part.startswith("text")]
    assert (first, set(deltas), last) == ("text-start", {"text-delta"}, "text-end")
    assert ["start", "start-step", "finish-step", "finish"] == [p for p in parts["types"] if not p.startswith("text")]
    assert (parts["text"], parts["errors"], parts["finish_reasons"]) == (GREETING, [], ["stop"])


@pytest.mark.parametrize("name", ["generate_steps", "stream_steps", "agent_steps", "agent_stream_steps"])
def test_steps(made: dict[str, Any], name: str) -> None:
    """The loop makes the right calls in their order, two of them at once, and ends on the last word."""
    first = step(LOOP_CALLS[:1], ["BR-SP"])
    second = step(LOOP_CALLS[1:], ["25°C em BR-SP", "25°C em BR-DF"])
    assert loop(first, second, step([], [], FINAL_TEXT)) == made[name]


@pytest.mark.parametrize("name", ["generate_steps", "stream_steps"])
def test_results_go_back(made: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """Each step is one prompt, and what the tools returned is in the next."""
    first, second, third = [request["body"]["user_prompt"] for request in stand_in.requests(f"ai-sdk-{name}")]
    assert "BR-SP" not in first
    assert "BR-SP" in second
    assert "25°C em BR-SP" in third
    assert "25°C em BR-DF" in third


@pytest.mark.parametrize("name", ["generate_limit", "stream_limit"])
def test_step_limit(made: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """A loop that is stopped after two steps ends on its calls, and nothing more is asked for."""
    again = step(LOOP_CALLS[:1], ["BR-SP"])
    assert loop(again, again) == made[name]
    assert len(stand_in.requests(f"ai-sdk-{name}")) == 2


@pytest.mark.parametrize("name", ["generate_no_arguments", "stream_no_arguments"])
def test_call_without_arguments(made: dict[str, Any], name: str) -> None:
    """A call whose arguments are missing is one with none."""
    call = step([["listar_cidades", {}]], ["São Paulo, Brasília"])
    assert loop(call, step([], [], FINAL_TEXT)) == made[name]


@pytest.mark.parametrize("name", ["required", "stream_required"])
def test_required_call(made: dict[str, Any], stand_in: StandIn, name: str) -> None:
    """A call that must come is asked for again when only text came, out of the SDK's sight."""
    [only] = made[name]["steps"]
    assert (LOOP_CALLS[:1], "", "tool-calls") == (only["calls"], only["text"], only["finish_reason"])
    assert len(stand_in.requests(f"ai-sdk-{name}")) == 2


def test_stream_parts_of_calls(made: dict[str, Any]) -> None:
    """Every call is opened, closed and made once, and text comes in the last step only."""
    types = made["stream_parts_of_calls"]["types"]
    for part in ("tool-input-start", "tool-input-end", "tool-call", "tool-result"):
        assert types.count(part) == len(LOOP_CALLS)
    assert types.count("finish-step") == len(LOOP)
    assert "tool-call" not in types[types.index("text-start") :]
    assert made["stream_parts_of_calls"]["errors"] == []


@pytest.mark.parametrize(("name", "rounds"), [("output", 1), ("output_fenced", 1), ("output_repaired", 2)])
def test_structured_output(made: dict[str, Any], stand_in: StandIn, name: str, rounds: int) -> None:
    """An object of the zod schema arrives, after a hidden round when the first answer does not fit."""
    assert REPORT == made[name]
    assert len(stand_in.requests(f"ai-sdk-{name}")) == rounds


def test_streamed_structured_output(made: dict[str, Any], stand_in: StandIn) -> None:
    """Streamed, nothing of the answer that did not fit is seen."""
    assert {"output": REPORT, "last": REPORT} == made["output_streamed"]
    assert len(stand_in.requests("ai-sdk-output_streamed")) == 2


def test_generate_object(made: dict[str, Any], stand_in: StandIn) -> None:
    """So it is with the older ``generateObject``."""
    assert REPORT == made["generate_object"]
    assert len(stand_in.requests("ai-sdk-generate_object")) == 2


def test_object_that_never_fits(made: dict[str, Any], stand_in: StandIn) -> None:
    """An answer that does not fit the second time either is an error."""
    error = made["output_hopeless"]
    assert ("AI_APICallError", 502, "response_format_not_met") == (error["raised"], error["status"], error["code"])
    assert len(stand_in.requests("ai-sdk-output_hopeless")) == 2


def test_cut_answer_that_is_not_streamed(made: dict[str, Any]) -> None:
    """Half an answer rejects."""
    error = made["generate_cut"]
    assert ("AI_APICallError", 502, "upstream_truncated") == (error["raised"], error["status"], error["code"])


@pytest.mark.parametrize("name", ["stream_cut", "stream_ended"])
def test_failure_in_mid_stream(made: dict[str, Any], name: str) -> None:
    """A stream that breaks has an error part behind its text, and does not finish as a success."""
    stream = made[name]
    [error] = stream["errors"]
    assert error["code"] == "upstream_truncated"
    assert stream["text"] == "".join(PIECES)
    assert stream["types"].index("error") > stream["types"].index("text-delta")
    assert stream["finish_reasons"] == ["error"]


def test_failure_behind_a_call(made: dict[str, Any], stand_in: StandIn) -> None:
    """A stream that breaks in its second call makes none of them, and the loop does not go on."""
    stream = made["stream_cut_after_call"]
    [error] = stream["errors"]
    assert error["code"] == "upstream_truncated"
    assert (["error"], []) == (stream["finish_reasons"], stream["ran"])
    assert len(stand_in.requests("ai-sdk-stream_cut_after_call")) == 1


def test_failure_before_the_first_byte(made: dict[str, Any]) -> None:
    """StackSpot's 500 rejects with a real status."""
    error = made["generate_refused"]
    assert ("AI_APICallError", 502, "upstream_failed") == (error["raised"], error["status"], error["code"])
    assert "StackSpot answered 500" in error["message"]


def test_failure_before_the_first_byte_of_a_stream(made: dict[str, Any]) -> None:
    """Streamed, it is an error part with that status, and whoever waits for the text hears of it."""
    stream = made["stream_refused"]
    [error] = stream["errors"]
    assert ("AI_APICallError", 502, "upstream_failed") == (error["raised"], error["status"], error["code"])
    assert (["start", "error"], []) == (stream["types"], stream["finish_reasons"])
    assert stream["text_awaited"]["raised"] == "AI_NoOutputGeneratedError"


def test_missing_correlation_id(made: dict[str, Any]) -> None:
    """Without a correlation id both fail with a 400 that says which header to send."""
    for error in (made["generate_no_id"], *made["stream_no_id"]["errors"]):
        assert ("AI_APICallError", 400, "correlation_id_missing") == (error["raised"], error["status"], error["code"])
        assert "'correlation-id'" in error["message"]
    assert made["stream_no_id"]["types"] == ["start", "error"]


def test_leaving_closes_the_upstream(made: dict[str, Any], stand_in: StandIn) -> None:
    """A caller that aborts half-way ends the generation within a second."""
    [request] = wait_ended(stand_in, "ai-sdk-stream_abort")
    assert request["end"] == "client_closed"
    assert request["seconds"] - made["stream_abort"]["seconds"] < 1
    assert made["stream_abort"]["types"][-1] == "abort"
