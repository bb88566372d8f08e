"""The chat route without scripts: what it refuses, and what it answers."""

from typing import Any

import pytest

from .helpers import AGENT, KEY, Client

PATH = f"/v1/agent/{AGENT}/chat"
BEARER = {"Authorization": f"Bearer {KEY}"}


async def test_streams(client: Client) -> None:
    reply = await client.chat("Olá, você!")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
    assert "“Olá, você!”" in reply.text()
    assert reply.events()[-1]["stop_reason"] == "stop"


async def test_answers_whole(client: Client) -> None:
    reply = await client.chat("Olá, você!", streaming=False)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    answer = reply.json()
    assert "“Olá, você!”" in answer["message"]
    assert (answer["stop_reason"], answer["tokens"]["input"]) == ("stop", 3)
    assert answer["conversation_id"] is None
    assert len(answer["message_id"]) == 26


async def test_conversations_have_an_id(client: Client) -> None:
    given = await client.chat(streaming=False, use_conversation=True, conversation_id="01X")
    made = await client.chat(streaming=False, use_conversation=True)
    assert given.json()["conversation_id"] == "01X"
    assert len(made.json()["conversation_id"]) == 26


async def test_takes_every_field_of_stackspot(client: Client) -> None:
    reply = await client.chat(
        stackspot_knowledge=False,
        return_ks_in_response=True,
        use_conversation=True,
        conversation_id="01X",
        upload_ids=["u"],
        deep_search_ks=True,
        knowledge_source_ids=["k"],
        agent_version_number=3,
        selected_model="m",
    )
    assert reply.status == 200


REFUSED: dict[str, tuple[Any, str]] = {
    "an unknown field": ({"user_prompt": "x", "messages": []}, "messages: unknown field"),
    "no prompt": ({"streaming": True}, "user_prompt: is required"),
    "a prompt that is no text": ({"user_prompt": ["x"]}, "user_prompt: must be a string"),
    "a truth that is none": ({"user_prompt": "x", "streaming": "yes"}, "streaming: must be true or false"),
    "ids that are none": ({"user_prompt": "x", "upload_ids": [1]}, "upload_ids[0]: must be a string"),
    "not an object": (["x"], "must be an object"),
}


@pytest.mark.parametrize(("body", "details"), REFUSED.values(), ids=REFUSED)
async def test_refuses_what_stackspot_does_not_have(client: Client, body: Any, details: str) -> None:
    reply = await client.request("POST", PATH, json=body, headers=BEARER)
    assert reply.status == 400
    assert {"type", "code", "details"} == reply.json().keys()
    assert reply.json()["details"] == details


async def test_refuses_what_is_no_json(client: Client) -> None:
    assert (await client.request("POST", PATH, data=b"{", headers=BEARER)).status == 400


@pytest.mark.parametrize("authorization", [None, "Bearer nobody-issued-this", "Basic sk-x", "Bearer"])
async def test_refuses_strangers(client: Client, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    reply = await client.request("POST", PATH, json={"user_prompt": "x"}, headers=headers)
    assert reply.status == 401
    assert {"type", "code", "details"} == reply.json().keys()


async def test_an_unknown_agent(client: Client) -> None:
    reply = await client.chat(agent="no-such-agent")
    assert (reply.status, reply.json().keys()) == (404, {"type", "code", "details"})


async def test_an_agent_not_shared(client: Client) -> None:
    reply = await client.chat(agent="forbidden-agent")
    assert (reply.status, reply.body) == (403, b"")


async def test_the_context_can_be_limited(client: Client) -> None:
    await client.settings(context_tokens=10)
    assert (await client.chat("x" * 40)).status == 200
    reply = await client.chat("x" * 41)
    assert (reply.status, reply.json()["code"]) == (400, "INFERENCE_6001_LLM_MODEL_BAD_REQUEST")
    assert "limit of 10 tokens" in reply.json()["details"]
    assert "resulted in 11 tokens" in reply.json()["details"]


async def test_the_rate_can_be_limited_by_account(client: Client) -> None:
    await client.settings(rate_limit={"requests": 2, "window_s": 60})
    token = await client.token()
    other = await client.token(client_id="other")
    statuses = [(await client.chat(key=key)).status for key in (token, token, token, other)]
    assert statuses == [200, 200, 429, 200]
    limited = await client.chat(key=token)
    assert limited.json()["code"] == "INFERENCE_3008_CHAT_RATE_LIMIT_EXCEEDED"
    assert "retry-after" not in limited.headers
    stats = await client.stats()
    assert (stats["generations"], stats["refused"], stats["rate_limited"]) == (3, 2, 2)
    assert stats["accounts"]["acme/some-client"]["sliding_maximum"] == 4


async def test_a_large_prompt(client: Client) -> None:
    reply = await client.chat("é" * 2_000_000)
    assert reply.events()[-1]["tokens"]["input"] == 500_000
