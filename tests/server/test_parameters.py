"""What requests ask for beyond a plain answer, end to end: stops, JSON, forced calls, memory, limits."""

import json
import time
from typing import Any

import pytest

from proxy.core.upstreams.stackspot import ulid
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import WEATHER_TOOL, ask, body, finish_of, frames, stream, text_of
from tests.support.processes import Proxy, StandIn

CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Rome"}\nFUNCTION_CALL_END\n'
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
AS_JSON = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}


def answer_of(proxy: Proxy, correlation_id: str, streamed: bool, **fields: Any) -> dict[str, Any]:
    """The message and the reason it ended, however it was asked for."""
    if not streamed:
        reply = ask(proxy, correlation_id, **fields)
        return reply.json().get("error") or {
            **reply.json()["choices"][0]["message"],
            "reason": reply.json()["choices"][0]["finish_reason"],
        }
    with stream(proxy, correlation_id, **fields) as reply:
        if reply.status_code != 200:
            reply.read()
            error: dict[str, Any] = reply.json()["error"]
            return error
        found = frames(reply)
    pieces = [
        c
        for frame in found
        if frame != "[DONE]" and frame.get("choices")
        for c in frame["choices"][0]["delta"].get("tool_calls", [])
    ]
    return {
        "content": text_of(found) or None,
        "reason": finish_of(found),
        "tool_calls": [p for p in pieces if "id" in p],
    }


BOTH = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])


@BOTH
def test_stop(proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    """The answer ends before the sequence, and the upstream is closed at the hit."""
    stand_in.script(correlation_id, {"deltas": ["one ", "EN", "D two ", *["more "] * 500], "interval_s": 0.02})
    started = time.monotonic()
    answer = answer_of(proxy, correlation_id, streamed, stop=["END"])
    assert ("one ", "stop") == (answer["content"], answer["reason"])
    assert 2 > time.monotonic() - started
    time.sleep(0.1)
    assert ["client_closed"] == [sent["end"] for sent in stand_in.requests(correlation_id)]


@BOTH
def test_not_parallel(proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    stand_in.script(correlation_id, {"text": CALL * 2 + "x" * 2000, "interval_s": 0.02})
    answer = answer_of(proxy, correlation_id, streamed, tools=[WEATHER_TOOL], parallel_tool_calls=False)
    assert (1, "tool_calls") == (len(answer["tool_calls"]), answer["reason"])
    time.sleep(0.1)
    assert ["client_closed"] == [sent["end"] for sent in stand_in.requests(correlation_id)]


@BOTH
def test_json(proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    stand_in.script(correlation_id, {"text": '```json\n{"city": "São Paulo"}\n```', "delta_chars": 2})
    answer = answer_of(proxy, correlation_id, streamed, response_format=AS_JSON)
    assert {"city": "São Paulo"} == json.loads(answer["content"])


@BOTH
def test_json_is_repaired_out_of_sight(proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    stand_in.script(correlation_id, {"text": "The city is Rome."}, {"text": '{"city": "Rome"}'})
    answer = answer_of(proxy, correlation_id, streamed, response_format=AS_JSON)
    assert '{"city": "Rome"}' == answer["content"]
    assert "The city is Rome." in stand_in.requests(correlation_id)[1]["body"]["user_prompt"]


@BOTH
@pytest.mark.parametrize(
    ("fields", "answers", "code"),
    {
        "JSON": ({"response_format": AS_JSON}, ["no", "{}"], "response_format_not_met"),
        "a forced call": ({"tools": [WEATHER_TOOL], "tool_choice": "required"}, ["no", "no"], "tool_choice_not_met"),
        "a call": ({"tools": [WEATHER_TOOL]}, [CALL.replace('"}', "}")] * 2, "tool_call_parse_error"),
    }.values(),
)
def test_what_never_comes_right_is_an_error(
    proxy: Proxy,
    stand_in: StandIn,
    correlation_id: str,
    streamed: bool,
    fields: dict[str, Any],
    answers: list[str],
    code: str,
) -> None:
    stand_in.script(correlation_id, *({"text": text} for text in answers))
    assert code == answer_of(proxy, correlation_id, streamed, **fields)["code"]
    assert 2 == len(stand_in.requests(correlation_id))
    reply = proxy.client.post("/v1/chat/completions", headers={"correlation-id": correlation_id}, json=body(**fields))
    assert 200 == reply.status_code, "the simulator's own answers meet what was asked"


@BOTH
def test_a_forced_call_is_asked_for_again(proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    stand_in.script(correlation_id, {"text": "Shall I?"}, {"text": "Sure.\n" + CALL})
    answer = answer_of(proxy, correlation_id, streamed, tools=[WEATHER_TOOL], tool_choice=named)
    assert (None, "tool_calls", 1) == (answer["content"], answer["reason"], len(answer["tool_calls"]))


@pytest.mark.parametrize("fields", [{}, {"tools": []}, {"tools": [WEATHER_TOOL], "tool_choice": "none"}], ids=str)
def test_without_tools_markers_are_text(
    proxy: Proxy, stand_in: StandIn, correlation_id: str, fields: dict[str, Any]
) -> None:
    stand_in.script(correlation_id, {"text": CALL})
    assert CALL == ask(proxy, correlation_id, **fields).json()["choices"][0]["message"]["content"]


def test_a_schema_that_is_none_is_refused(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "http://127.0.0.1:1/x"}}}
    reply = ask(proxy, correlation_id, response_format=wrong)
    assert (400, "response_format.json_schema.schema") == (reply.status_code, reply.json()["error"]["param"])
    assert [] == stand_in.requests(correlation_id)


def test_images_are_left_out_and_named(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    reply = ask(proxy, correlation_id, messages=[{"role": "user", "content": parts}])
    assert "image_url" == reply.headers["x-proxy-ignored-params"]
    assert "[image_url: not shown" in stand_in.requests(correlation_id)[0]["body"]["user_prompt"]


def test_max_tokens(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "proxy: {enforce_max_tokens: true}\n")
    stand_in.script(correlation_id, {"text": "one two three four five six"})
    reply = ask(proxy, correlation_id, model="chat", max_tokens=3)
    choice = reply.json()["choices"][0]
    assert ("one two thre", "length") == (choice["message"]["content"], choice["finish_reason"])
    assert "x-proxy-ignored-params" not in reply.headers


REMEMBERS = STACKSPOT.replace("agent}", "agent, conversation: correlation-id}")


def test_the_agents_memory(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(REMEMBERS)
    stand_in.script(correlation_id, {"text": "Hi."}, {"text": "no"})
    ask(proxy, correlation_id, model="chat")
    refused = ask(proxy, correlation_id, model="chat", response_format={"type": "json_object"})
    assert "response_format_not_met" == refused.json()["error"]["code"], "no hidden round may enter its memory"
    sent = [request["body"] for request in stand_in.requests(correlation_id)]
    assert [(True, ulid(correlation_id))] * 2 == [(one["use_conversation"], one["conversation_id"]) for one in sent]


def test_the_ceiling_of_upstream_calls(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "router_settings: {max_upstream_calls: 1}\n")
    stand_in.script(correlation_id, {"text": "no"}, {"text": "{}"})
    refused = ask(proxy, correlation_id, model="chat", response_format={"type": "json_object"})
    assert 502 == refused.status_code
    assert 1 == len(stand_in.requests(correlation_id))


def test_arguments_as_they_come(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "proxy: {tools: {stream_arguments: true}}\n")
    stand_in.script(correlation_id, {"text": CALL, "delta_chars": 4, "interval_s": 0.01})
    with stream(proxy, correlation_id, model="chat", tools=[WEATHER_TOOL]) as reply:
        found = frames(reply)
    pieces = [c["function"]["arguments"] for f in found[:-1] for c in f["choices"][0]["delta"].get("tool_calls", [])]
    assert 3 < len(pieces)
    assert '{"city": "Rome"}' == "".join(pieces)


def test_keepalives_fill_a_hidden_round(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    """A JSON answer is collected, and repaired, while the caller is kept on the line; then it comes as one delta."""
    proxy = launch(STACKSPOT + "proxy: {keepalive_s: 0.3, commit_after: 0.3}\n")
    slow = {"interval_s": 0.3, "delta_chars": 3}
    stand_in.script(correlation_id, {"text": "Not JSON at all"} | slow, {"text": '{"city": "Rome"}'} | slow)
    with stream(proxy, correlation_id, model="chat", response_format=AS_JSON) as reply:
        lines = [line for line in reply.iter_lines() if line]
    contents = [
        json.loads(line[6:])["choices"][0]["delta"].get("content") for line in lines if line.startswith("data: {")
    ]
    assert ["", '{"city": "Rome"}'] == [content for content in contents if content is not None]
    assert 2 <= lines.count(": keepalive")


def test_outcomes_of_calls_are_counted(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch()
    broken = CALL.replace('"}', "}")
    stand_in.script(
        correlation_id, {"text": CALL * 2}, {"text": broken}, {"text": CALL}, {"text": broken}, {"text": broken}
    )
    for _ in range(3):
        ask(proxy, correlation_id, tools=[WEATHER_TOOL])
    outcomes = ("parsed", "repaired", "invalid")
    assert [2, 1, 1] == [proxy.metric("proxy_tool_calls_total", outcome=outcome) for outcome in outcomes]
