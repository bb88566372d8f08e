"""Callers' keys: who is let in, to which models, and that nothing is given away."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from proxy.config import Config, ConfigError
from proxy.config.settings import ApiKey, Model
from proxy.errors import InvalidKey
from proxy.server.keys import KeyRing
from tests.config.test_load import STACKSPOT, from_text
from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.processes import CREDENTIALS, Proxy, StandIn

CONFIG = """\
model_list:
  - model_name: chat
    aliases: [stackspot, "claude-*"]
    litellm_params: {model: stackspot/agent}
  - model_name: code
    aliases: [coder]
    litellm_params: {model: stackspot/agent}
  - model_name: team/one
    litellm_params: {model: stackspot/agent}
general_settings: {master_key: os.environ/MASTER}
proxy:
  api_keys:
    - {name: anything, key: os.environ/ANYTHING}
    - {name: chatter, key: os.environ/CHATTER, models: [chat]}
    - {name: teams, key: os.environ/TEAMS, models: ["team/*", coder, claude-3]}
    - {name: nothing, key: os.environ/NOTHING, models: [left-out]}
"""
KEYS = {name: f"planted-{name.lower()}-key" for name in ("MASTER", "ANYTHING", "CHATTER", "TEAMS", "NOTHING")}
ALL = ["chat", "stackspot", "code", "coder", "team/one"]


@pytest.fixture(scope="module")
def front(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "config.yaml").write_text(CONFIG)
    for correlation_id in ("keys", "named-chatter", "named-master"):
        stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    process = Proxy(env=CREDENTIALS | stand_in.env | KEYS, cwd=folder)
    yield process
    assert [] == [key for key in KEYS.values() if key in process.output]
    assert process.stop() == 0


def bearer(key: str | bytes) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + (key.encode() if isinstance(key, str) else key)}


def post(proxy: Proxy, key: str, model: str, correlation_id: str = "keys") -> httpx.Response:
    headers = {b"correlation-id": correlation_id.encode()} | bearer(KEYS[key])
    return proxy.client.post(PATH, headers=headers, json=body(model=model))


NO_KEYS: dict[str, dict[bytes, bytes]] = {
    "none": {},
    "an empty one": {b"authorization": b"Bearer"},
    "another": bearer("planted"),
    "the start of one": bearer(KEYS["MASTER"][:-1]),
    "one and more": bearer(KEYS["MASTER"] + "x"),
    "a name": bearer("chatter"),
    "no ASCII": bearer("ção"),
    "no UTF-8": bearer(b"\xff\xfe"),
    "another scheme": {b"authorization": b"Basic " + KEYS["MASTER"].encode()},
    "no scheme": {b"authorization": KEYS["MASTER"].encode()},
    "two of them": bearer(f"{KEYS['MASTER']} {KEYS['MASTER']}"),
    "an empty x-api-key": {b"x-api-key": b""},
    "another x-api-key": {b"x-api-key": b"planted"},
    "an x-api-key with a scheme": {b"x-api-key": b"Bearer " + KEYS["MASTER"].encode()},
    "unknown ones only": bearer("planted") | {b"x-api-key": b"planted", b"api-key": b"planted"},
}


@pytest.mark.parametrize("case", NO_KEYS)
def test_who_is_not_let_in(front: Proxy, case: str) -> None:
    for reply in (
        front.client.get("/v1/models", headers=NO_KEYS[case]),
        front.client.post(PATH, headers=NO_KEYS[case] | {b"correlation-id": b"keys"}, json=body(model="chat")),
        front.client.get("/nowhere", headers=NO_KEYS[case]),
    ):
        error = reply.json()["error"]
        assert (401, "invalid_api_key", "invalid_request_error") == (reply.status_code, error["code"], error["type"])
    assert "Traceback" not in front.output


SENT: dict[str, dict[bytes, bytes]] = {
    "a bearer key": bearer(KEYS["CHATTER"]),
    "x-api-key": {b"x-api-key": KEYS["CHATTER"].encode()},
    "api-key": {b"api-key": KEYS["CHATTER"].encode()},
    "capitals": {b"X-API-Key": KEYS["CHATTER"].encode()},
    "one twice": bearer(KEYS["CHATTER"]) | {b"x-api-key": KEYS["CHATTER"].encode()},
    "an unknown one before": bearer("planted-other-key") | {b"x-api-key": KEYS["CHATTER"].encode()},
    "another scheme before": {b"authorization": b"Basic YTpi", b"api-key": KEYS["CHATTER"].encode()},
    "a known one after": bearer(KEYS["CHATTER"]) | {b"x-api-key": KEYS["MASTER"].encode()},
}


@pytest.mark.parametrize("case", SENT)
def test_keys_are_taken_from_three_headers(front: Proxy, case: str) -> None:
    """Of several known keys the one of the first header counts: Authorization, x-api-key, api-key."""
    listed = front.client.get("/v1/models", headers=SENT[case]).json()
    assert ["chat", "stackspot"] == [model["id"] for model in listed["data"]]


def test_probes_need_no_key(front: Proxy) -> None:
    assert [200] * 3 == [front.client.get(path).status_code for path in ("/health", "/ready", "/metrics")]


@pytest.mark.parametrize(
    ("key", "listed"),
    [("MASTER", ALL), ("ANYTHING", ALL), ("CHATTER", ["chat", "stackspot"]), ("TEAMS", ["coder", "team/one"]), ("NOTHING", [])],
)  # fmt: skip
def test_models_that_are_listed(front: Proxy, key: str, listed: list[str]) -> None:
    reply = front.client.get("/v1/models", headers=bearer(KEYS[key])).json()
    assert listed == [model["id"] for model in reply["data"]]
    for name in ALL:
        one = front.client.get(f"/v1/models/{name}", headers=bearer(KEYS[key]))
        assert (200 if name in listed else 404) == one.status_code


ASKED = [
    ("CHATTER", "chat", 200), ("CHATTER", "stackspot", 200), ("CHATTER", "claude-9", 200), ("CHATTER", "code", 404),
    ("TEAMS", "team/one", 200), ("TEAMS", "coder", 200), ("TEAMS", "code", 404), ("TEAMS", "claude-3", 200),
    ("TEAMS", "claude-4", 404), ("TEAMS", "team/two", 404), ("NOTHING", "chat", 404), ("NOTHING", "left-out", 404),
    ("ANYTHING", "code", 200), ("MASTER", "code", 200), ("MASTER", "nope", 404),
]  # fmt: skip


@pytest.mark.parametrize(("key", "model", "status"), ASKED)
def test_models_that_are_asked(front: Proxy, key: str, model: str, status: int) -> None:
    reply = post(front, key, model)
    assert status == reply.status_code
    if status == 404:
        assert ("model_not_found", "model") == (reply.json()["error"]["code"], reply.json()["error"]["param"])


def test_what_is_not_allowed_and_what_is_not_there_look_the_same(front: Proxy) -> None:
    def told(key: str, name: str) -> list[Any]:
        asked = post(front, key, name).json()["error"]["message"]
        shown = front.client.get(f"/v1/models/{name}", headers=bearer(KEYS[key])).json()["error"]["message"]
        return [asked.replace(name, "X"), shown.replace(name, "X")]

    assert told("CHATTER", "code") == told("CHATTER", "made-up")
    assert ["the model 'X' is not for this key; it is for: chat, stackspot, claude-*"] * 2 == told("CHATTER", "code")
    assert ["the model 'X' is not for this key; it is for: claude-3, coder, team/one"] * 2 == told("TEAMS", "chat")
    assert ["the model 'X' is not for this key; it is for: none that is configured"] * 2 == told("NOTHING", "chat")


def test_lines_of_the_log_name_the_key(front: Proxy) -> None:
    for key, name in (("CHATTER", "chatter"), ("MASTER", "master")):
        post(front, key, "chat", f"named-{name}")
        assert name == front.wait_event(event="request.finished", correlation_id=f"named-{name}")["caller"]
    assert {"chatter"} == {line.get("caller") for line in front.events(correlation_id="named-chatter")}
    front.client.post(PATH, headers={"correlation-id": "named-nobody"}, json=body())
    assert "caller" not in front.wait_event(event="request.finished", correlation_id="named-nobody")


def test_keys_without_a_master_key(launch: Launch) -> None:
    config = STACKSPOT + "proxy: {api_keys: [{name: app, key: os.environ/APP}]}\n"
    proxy = launch(config, env={"APP": "planted-app-key"})
    keys: tuple[dict[bytes, bytes], ...] = ({}, bearer("planted"), bearer("planted-app-key"))
    assert [401, 401, 200] == [proxy.client.get("/v1/models", headers=key).status_code for key in keys]


def test_without_keys_everybody_is_nobody() -> None:
    ring = KeyRing(Config(models=()))
    assert {""} == {ring.holder({"authorization": sent}).name for sent in ("", "Bearer x", "nonsense")}


def test_every_key_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind the one that fits: the time tells nothing."""
    keys = tuple(ApiKey(f"key-{number}", f"secret-{number}") for number in range(5))
    ring = KeyRing(Config(models=(Model("m", "openai", "m"),), master_key="master-secret", api_keys=keys))
    compared: list[int] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return one == other

    monkeypatch.setattr("proxy.server.keys.hmac.compare_digest", compare)
    assert "key-0" == ring.holder({"authorization": "bearer secret-0"}).name
    with pytest.raises(InvalidKey):
        ring.holder({"authorization": "Bearer " + "x" * 10_000})
    assert [32] * 12 == compared, "digests, all of them, twice"
    assert "key-1" == ring.holder({"x-api-key": "secret-1", "api-key": "secret-2"}).name
    assert [32] * 24 == compared, "and of each key that is sent"


@pytest.mark.parametrize("twin", ["name: master, key: other", "name: app, key: literal"])
def test_no_key_is_the_master_keys_twin(
    twin: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("twin"))
    with pytest.raises(ConfigError, match="has the name or the key of the master key"):
        from_text(STACKSPOT + f"general_settings: {{master_key: literal}}\nproxy: {{api_keys: [{{{twin}}}]}}\n")
