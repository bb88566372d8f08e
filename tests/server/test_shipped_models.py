"""The three models of the shipped config.yaml, as seed 002's users know them from their agents in Aider: the names, a
key alone, and what goes wrong. The key's forms are in tests/dispatch/test_login.py."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from tests.cli.run import run
from tests.conftest import Launch
from tests.support.processes import CREDENTIALS, ROOT, Proxy, StandIn

CONFIG = (ROOT / "config.yaml").read_text("utf-8")
FALLBACK = CREDENTIALS["GENAI_AGENT_ID"]
AGENTS = {kind: f"01JZ4M7Q2X9WB3TKD5R8VH{kind[:4].upper()}" for kind in ("chat", "code", "assistant")}
OWN_AGENTS = {f"STACKSPOT_{kind.upper()}_AGENT_ID": agent for kind, agent in AGENTS.items()}
NAMES = {
    "stackspot-ai-chat": "chat",
    "stackspot-chat": "chat",
    "stackspot": "chat",
    "stackspot-ai-code": "code",
    "stackspot-code": "code",
    "stackspot-ai-assistant": "assistant",
    "stackspot-assistant": "assistant",
}
KEY_ALONE = {"CLIENT_ID": "", "CLIENT_SECRET": "", "REALM": "", "STACKSPOT_API_KEY": "planted-key"}
PROMPT = [{"role": "user", "content": "Write a haiku."}]


def client(proxy: Proxy, correlation_id: str) -> OpenAI:
    headers = {"correlation-id": correlation_id}
    return OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", max_retries=0, default_headers=headers)


@pytest.fixture
def by_key(launch: Launch, correlation_id: str) -> Iterator[OpenAI]:
    """A caller of a proxy that has a key, and an agent, in place of client credentials."""
    with client(launch(CONFIG, env=KEY_ALONE), correlation_id) as caller:
        yield caller


@pytest.mark.parametrize("env", [OWN_AGENTS, dict.fromkeys(OWN_AGENTS, "")], ids=["own agents", "one agent"])
def test_each_name_reaches_its_agent(
    launch: Launch, stand_in: StandIn, correlation_id: str, env: dict[str, str]
) -> None:
    """Every model and alias answers, by the agent of its own if there is one, else by ``GENAI_AGENT_ID``."""
    with client(launch(CONFIG, env=env), correlation_id) as caller:
        listed = {model.id for model in caller.models.list()}
        for name in NAMES:
            stand_in.script(correlation_id, {"text": f"I am {name}.", "interval_s": 0})
            answer = caller.chat.completions.create(model=name, messages=PROMPT)
            assert (answer.choices[0].message.content, answer.model) == (f"I am {name}.", name)
    assert listed == set(NAMES)
    agents = [request["agent_id"] for request in stand_in.requests(correlation_id)]
    assert agents == [env[f"STACKSPOT_{kind.upper()}_AGENT_ID"] or FALLBACK for kind in NAMES.values()]


def test_its_parameters(by_key: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The seed's call, with temperature and max_tokens: no error, and the header says that they do not count."""
    stand_in.script(correlation_id, {"deltas": ["An old ", "silent pond"], "interval_s": 0.01})
    raw = by_key.chat.completions.with_raw_response.create(
        model="stackspot-code", messages=PROMPT, temperature=0.7, max_tokens=50, stream=True
    )
    assert set(raw.headers["x-proxy-ignored-params"].split(", ")) == {"temperature", "max_tokens"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse()) == "An old silent pond"


def test_a_wrong_model(by_key: OpenAI) -> None:
    """A name that is not there is a 404 that lists those that are."""
    with pytest.raises(openai.NotFoundError) as raised:
        by_key.chat.completions.create(model="stackspot-ai-coder", messages=PROMPT)
    assert raised.value.code == "model_not_found"
    assert "stackspot-ai-coder" in raised.value.message
    assert all(name in raised.value.message for name in NAMES)


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        ("unauthorized", "upstream_auth", "StackSpot"),
        ("forbidden", "upstream_forbidden", "not shared with the proxy's StackSpot client"),
        ("not_found", "upstream_not_found", "agent"),
    ],
)
def test_what_stackspot_refuses(
    by_key: OpenAI, stand_in: StandIn, correlation_id: str, refusal: str, code: str, words: str
) -> None:
    """Its 401, 403 and 404 are told apart, never as the caller's own fault, and the key is in none of them."""
    stand_in.script(correlation_id, {"refuse": refusal, "repeat": True})
    with pytest.raises(openai.InternalServerError, match=words) as raised:
        by_key.chat.completions.create(model="stackspot", messages=PROMPT)
    assert (raised.value.status_code, raised.value.code) == (502, code)
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, "STACKSPOT_API_KEY"),
        ({"STACKSPOT_API_KEY": ""}, "STACKSPOT_API_KEY"),
        ({"STACKSPOT_API_KEY": "planted-key"}, "GENAI_AGENT_ID"),
    ],
    ids=["nothing", "empty", "no agent"],
)
def test_a_missing_key(tmp_path: Path, env: dict[str, str], missing: str) -> None:
    """Without a key, or without an agent, the start stops and says what to set."""
    (tmp_path / "config.yaml").write_text(CONFIG, "utf-8")
    ended = run(tmp_path, "serve", env=env)
    assert ended.code != 0
    assert missing in ended.out + ended.err
