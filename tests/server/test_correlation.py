"""Where a request's correlation id comes from."""

import json
from typing import Any

import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.processes import Proxy, StandIn

STACKSPOT = "model_list: [{model_name: chat, litellm_params: {model: stackspot/agent}}]\n"
UUID = "0b9f2c52-8f0e-4f6e-9d3e-6f3d3f1a2b4c"
CLAUDE_USER = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": UUID})
OLD_CLAUDE_USER = f"user_{'d' * 64}_account_{UUID[::-1]}_session_{UUID}"
LONG = "ses_" + "x" * 200

SESSIONS: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "Claude Code's header": ({"x-claude-code-session-id": UUID}, {}, UUID),
    "Codex's header": ({"session-id": UUID}, {}, UUID),
    "an older header of Codex": ({"session_id": "s-1"}, {}, "s-1"),
    "OpenCode's header": ({"x-session-id": "ses_1"}, {}, "ses_1"),
    "metadata": ({}, {"metadata": {"session_id": "m-1"}}, "m-1"),
    "a field": ({}, {"session_id": "f-1"}, "f-1"),
    "LiteLLM's field": ({}, {"litellm_session_id": "l-1"}, "l-1"),
    "Claude Code's metadata": ({}, {"metadata": {"user_id": CLAUDE_USER}}, UUID),
    "the older form of that": ({}, {"metadata": {"user_id": OLD_CLAUDE_USER}}, UUID),
    "a key of prompt caches": ({}, {"prompt_cache_key": "qwen-code:1"}, "qwen-code:1"),
    "characters outside the set": ({}, {"session_id": "a b/ç"}, "a_b__"),
    "its own header wins": ({"correlation-id": "own", "session-id": "other"}, {"session_id": "third"}, "own"),
    "a header wins over a field": ({"x-session-id": "header"}, {"metadata": {"session_id": "field"}}, "header"),
    "the first of two headers": ({"x-session-id": "later", "session-id": "first"}, {}, "first"),
    "the first of two fields": ({}, {"session_id": "later", "metadata": {"session_id": "first"}}, "first"),
    "an empty one is passed over": ({"session-id": ""}, {"session_id": "", "prompt_cache_key": "p"}, "p"),
    "another type is passed over": ({}, {"litellm_session_id": 7, "prompt_cache_key": "p"}, "p"),
}
NONE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a user": {"user": "somebody", "metadata": {"user_id": "somebody"}},
    "a user who is JSON": {"metadata": {"user_id": '{"device_id": "d"}'}},
    "null": {"session_id": None, "metadata": None, "prompt_cache_key": None},
}


def post(proxy: Proxy, headers: dict[str, str], **fields: Any) -> tuple[int, str | None, Any]:
    reply = proxy.client.post(PATH, headers=headers, json=body(**fields))
    return reply.status_code, reply.headers.get("correlation-id"), reply.json()


@pytest.mark.parametrize("case", SESSIONS)
def test_what_a_client_sends_as_its_session_is_the_correlation_id(proxy: Proxy, stand_in: StandIn, case: str) -> None:
    headers, fields, expected = SESSIONS[case]
    status, echoed, answer = post(proxy, headers, **fields)
    assert (200, expected) == (status, echoed), answer
    assert stand_in.requests(expected), "the id goes on to the upstream"


def test_a_session_that_is_too_long_keeps_an_id_of_its_own(proxy: Proxy) -> None:
    _, first, _ = post(proxy, {"session-id": LONG + "1"})
    _, second, _ = post(proxy, {"session-id": LONG + "2"})
    assert first != second
    assert [128, 128] == [len(first or ""), len(second or "")]


@pytest.mark.parametrize("case", NONE)
def test_without_any_the_400_says_what_to_send(proxy: Proxy, case: str) -> None:
    status, _, answer = post(proxy, {}, **NONE[case])
    assert (400, "correlation_id_missing") == (status, answer["error"]["code"])
    for named in ("'correlation-id'", "prompt_cache_key", "proxy.correlation.also_accept", "required: false"):
        assert named in answer["error"]["message"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"metadata":' + "[" * 100_000, "", "no JSON"])
def test_a_body_that_cannot_be_read_has_none(proxy: Proxy, text: str) -> None:
    reply = proxy.client.post(PATH, content=text, headers={"content-type": "application/json"})
    assert (400, "correlation_id_missing") == (reply.status_code, reply.json()["error"]["code"])


def test_a_malformed_header_is_not_passed_over(proxy: Proxy) -> None:
    status, _, answer = post(proxy, {"correlation-id": "a b", "session-id": "fine"})
    assert (400, "correlation_id_invalid") == (status, answer["error"]["code"])


def test_an_empty_list_means_the_header_alone(launch: Launch) -> None:
    proxy = launch(STACKSPOT + "proxy: {correlation: {also_accept: []}}\n")
    status, _, answer = post(proxy, {"session-id": "s"}, model="chat", session_id="s")
    assert (400, "correlation_id_missing") == (status, answer["error"]["code"])
    assert "also_accept" not in answer["error"]["message"]


def test_names_of_ones_own(launch: Launch) -> None:
    proxy = launch(STACKSPOT + "proxy: {correlation: {also_accept: [x-conversation, extra.thread.id]}}\n")
    assert "c-1" == post(proxy, {"x-conversation": "c-1"}, model="chat")[1]
    assert "t-1" == post(proxy, {}, model="chat", extra={"thread": {"id": "t-1"}})[1]
    assert 400 == post(proxy, {"session-id": "s"}, model="chat")[0]
