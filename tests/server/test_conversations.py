"""The agent's memory (``conversation: correlation-id``) where callers have different keys."""

from pathlib import Path

import pytest

from proxy.core.upstreams.stackspot import ulid
from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.processes import Proxy, StandIn

REMEMBERS = """\
model_list:
  - model_name: chat
    litellm_params: {model: stackspot/agent, conversation: correlation-id}
"""
MASTER = "general_settings: {master_key: planted-master}\n"
ANN = "{name: ann, key: planted-ann}"
BOB = "{name: bob, key: planted-bob}"
ULID = "01JZ4M7Q2X9WB3TKD5R8VHNC6E"
SEVERAL = {
    "a master key and another": (f"{MASTER}proxy: {{api_keys: [{ANN}]}}\n", "planted-master", "planted-ann"),
    "two keys": (f"proxy: {{api_keys: [{ANN}, {BOB}]}}\n", "planted-ann", "planted-bob"),
}
ONE = {
    "none": ("", ""),
    "a master key": (MASTER, "planted-master"),
    "one of api_keys": (f"proxy: {{api_keys: [{ANN}]}}\n", "planted-ann"),
}


def conversation(proxy: Proxy, stand_in: StandIn, correlation_id: str, key: str) -> str:
    """The ``conversation_id`` that the agent is sent."""
    stand_in.script(correlation_id, {"text": "Hi."})
    headers = {"correlation-id": correlation_id} | ({"authorization": f"Bearer {key}"} if key else {})
    reply = proxy.client.post(PATH, headers=headers, json=body(model="chat"))
    assert 200 == reply.status_code, reply.text
    assert correlation_id == reply.headers["correlation-id"]
    sent: str = stand_in.requests(correlation_id)[-1]["body"]["conversation_id"]
    return sent


@pytest.mark.parametrize("form", ["a ULID", "another id"])
@pytest.mark.parametrize("case", SEVERAL)
def test_a_key_does_not_reach_the_conversation_of_another(
    launch: Launch, stand_in: StandIn, correlation_id: str, case: str, form: str
) -> None:
    config, one, other = SEVERAL[case]
    proxy = launch(REMEMBERS + config)
    sent = ULID if form == "a ULID" else correlation_id
    first, second = (conversation(proxy, stand_in, sent, key) for key in (one, other))
    assert first == conversation(proxy, stand_in, sent, one), "it goes on"
    assert 3 == len({first, second, ulid(sent)})
    assert conversation(proxy, stand_in, first, other) != first, "the derived id does not lead there"


@pytest.mark.parametrize("case", ONE)
def test_one_key_keeps_the_ids_as_they_are(launch: Launch, stand_in: StandIn, correlation_id: str, case: str) -> None:
    config, key = ONE[case]
    proxy = launch(REMEMBERS + config)
    assert ULID == conversation(proxy, stand_in, ULID, key)
    assert ulid(correlation_id) == conversation(proxy, stand_in, correlation_id, key)


def test_a_second_key_at_reload(launch: Launch, stand_in: StandIn, correlation_id: str, tmp_path: Path) -> None:
    """The conversations from before it belong to nobody who has it."""
    proxy = launch(REMEMBERS + MASTER)
    before = conversation(proxy, stand_in, correlation_id, "planted-master")
    (tmp_path / "config.yaml").write_text(f"{REMEMBERS}{MASTER}proxy: {{api_keys: [{ANN}]}}\n")
    proxy.wait_event(event="config.reloaded", seconds=20)
    assert before != conversation(proxy, stand_in, correlation_id, "planted-ann")
    assert before != conversation(proxy, stand_in, before, "planted-ann")
