"""Keys that callers need: named but absent ones stop the start, and what is left of a file must not loosen them."""

from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.config.safeguards import check_successor
from tests.config.test_load import STACKSPOT, from_text
from tests.support.processes import CREDENTIALS

MASTER = STACKSPOT + "general_settings:\n  master_key: os.environ/CALLERS\n"
PLAIN = STACKSPOT + "proxy: {drain_timeout: 1}\n"
KEYS = {"MASTER": "planted-master-key", "CHATTER": "planted-chatter-key"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def key_entry(more: str) -> str:
    return f"{STACKSPOT}proxy:\n  api_keys:\n    - name: app\n      {more}\n"


ABSENT = {
    "a variable that is not set": (MASTER, {}, "given.yaml:5: general_settings.master_key: CALLERS is not set"),
    "an empty variable": (MASTER, {"CALLERS": ""}, "given.yaml:5: general_settings.master_key: CALLERS is not set"),
    "a blank variable": (MASTER, {"CALLERS": "  "}, "given.yaml:5: general_settings.master_key: CALLERS is not set"),
    "an empty file": (MASTER, {"CALLERS_FILE": "empty"}, "given.yaml:5: general_settings.master_key: CALLERS_FILE: empty is empty"),
    "a blank file": (MASTER, {"CALLERS_FILE": "blank"}, "given.yaml:5: general_settings.master_key: CALLERS_FILE: blank is empty"),
    "no such file": (MASTER, {"CALLERS_FILE": "gone"}, "given.yaml:5: general_settings.master_key: CALLERS_FILE: gone cannot be read"),
    "a folder": (MASTER, {"CALLERS_FILE": "."}, "given.yaml:5: general_settings.master_key: CALLERS_FILE: . cannot be read"),
    "an empty text": (MASTER.replace("os.environ/CALLERS", '""'), {}, "given.yaml:5: general_settings.master_key: it is empty"),
    "blanks": (MASTER.replace("os.environ/CALLERS", '"  "'), {}, "given.yaml:5: general_settings.master_key: it is empty"),
    "null": (MASTER.replace("os.environ/CALLERS", "null"), {}, "given.yaml:5: general_settings.master_key: it is empty"),
    "nothing": (MASTER.replace(" os.environ/CALLERS", ""), {}, "given.yaml:5: general_settings.master_key: it is empty"),
    "a hyphen in the name": (MASTER.replace("CALLERS", "CALLERS-KEY"), {}, "given.yaml:5: general_settings.master_key: a variable is written os.environ/NAME"),
    "another reference": (MASTER.replace("os.environ/CALLERS", "os.environ.CALLERS"), {}, "a variable is written os.environ/NAME"),
    "the key by its own variable, an empty file": (PLAIN, {"PROXY_API_KEY_FILE": "empty"}, "PROXY_API_KEY_FILE: empty is empty"),
    "the key by its own variable, no such file": (PLAIN, {"PROXY_API_KEY_FILE": "gone"}, "PROXY_API_KEY_FILE: gone cannot be read"),
    "a named key": (key_entry("key: os.environ/CALLERS"), {}, "given.yaml:6: proxy.api_keys[0]: key is missing: CALLERS is not set"),
    "a named key's file": (key_entry("key: os.environ/CALLERS"), {"CALLERS_FILE": "empty"}, "proxy.api_keys[0].key: CALLERS_FILE: empty is empty"),
    "a named key of blanks": (key_entry("key: '  '"), {}, "given.yaml:6: proxy.api_keys[0]: key is missing"),
    "a named key's models": (key_entry("{key: k, models: }").replace("- name: app\n      {", "- {name: app, "), {}, "given.yaml:6: proxy.api_keys[0].models: no model is named"),
    "a named key's only model": (key_entry("key: k\n      models: [os.environ/NOPE]"), {}, "proxy.api_keys[0].models[0]: NOPE is not set"),
    "a named key's limit": (key_entry("key: k\n      requests_per_minute: os.environ/NOPE"), {}, "given.yaml:8: proxy.api_keys[0].requests_per_minute: NOPE is not set"),
}  # fmt: skip


@pytest.mark.parametrize("demo", [False, True], ids=["", "demo"])
@pytest.mark.parametrize("case", ABSENT)
def test_a_named_but_absent_secret_is_an_error(case: str, demo: bool) -> None:
    text, env, message = ABSENT[case]
    Path("empty").write_text("")
    Path("blank").write_text(" \n\t\n")
    with pytest.raises(ConfigError) as refused:
        from_text(text, CREDENTIALS | env, demo=demo)
    assert message in str(refused.value)


def test_an_empty_variable_that_no_file_names_is_unset() -> None:
    assert not from_text(PLAIN, CREDENTIALS | {"PROXY_API_KEY": "", "PROXY_API_KEY_FILE": ""}).has_keys


LAST_KEY = "no key for callers is left"
WHOLE = """\
# The models of this proxy
model_list:
  - model_name: chat
    litellm_params: {model: stackspot/agent}
  - model_name: code
    litellm_params:
      model: stackspot/agent
general_settings:
  master_key: os.environ/MASTER
proxy:
  cors_origins: ['https://app.example.com']
  allowed_hosts:
    - llm.example.com
  api_keys:
    - name: chatter
      key: os.environ/CHATTER
      models:
        - chat
      requests_per_minute: 1000
  drain_timeout: 1
"""
KEYS_FIRST = """\
proxy:
  api_keys:
    - name: chatter
      key: os.environ/CHATTER
      requests_per_minute: 1000
      models: [chat]
  drain_timeout: 1
model_list:
  - model_name: chat
    litellm_params: {model: stackspot/agent}
  - model_name: code
    litellm_params: {model: stackspot/agent}
"""
ENDPOINT = {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": "http://127.0.0.1:1/v1", "LLM_API_KEY": "k", "LLM_MODEL": "XYZ"}

WEAKER = {
    "the master key taken out": (MASTER, STACKSPOT, LAST_KEY),
    "all keys taken out": (KEYS_FIRST, STACKSPOT, LAST_KEY),
    "an empty list of keys": (KEYS_FIRST, STACKSPOT + "proxy: {api_keys: []}\n", LAST_KEY),
    "a comment and no more": (WHOLE, "# The models of this proxy\n", "given.yaml: "),
    "an empty file": (WHOLE, "", "given.yaml: "),
    "a key's models taken out": (KEYS_FIRST, KEYS_FIRST.replace("      models: [chat]\n", ""), 'write models: ["*"]'),
    "a key's limit taken out": (KEYS_FIRST, KEYS_FIRST.replace("      requests_per_minute: 1000\n", ""), "its requests_per_minute is not there any more"),
    "half a literal key": (PLAIN + "general_settings: {master_key: planted-literal-key}\n", PLAIN + "general_settings: {master_key: planted-lit}\n", "only the beginning of a key"),
}  # fmt: skip


@pytest.mark.parametrize("case", WEAKER)
def test_a_successor_that_loosens_authentication_is_an_error(case: str) -> None:
    before, after, message = WEAKER[case]
    env = CREDENTIALS | KEYS | {"CALLERS": "planted-callers-key"} | ENDPOINT
    old = from_text(before, env)
    with pytest.raises(ConfigError) as refused:
        check_successor(old, from_text(after, env))
    assert message in str(refused.value)


STRICTER = {
    "one of two keys": (WHOLE, WHOLE.replace("general_settings:\n  master_key: os.environ/MASTER\n", "")),
    "the named key": (WHOLE, WHOLE.partition("  api_keys:")[0]),
    "all models, spelt out": (KEYS_FIRST, KEYS_FIRST.replace("[chat]", '["*"]')),
    "another limit": (KEYS_FIRST, KEYS_FIRST.replace("1000", "2000")),
}


@pytest.mark.parametrize("case", STRICTER)
def test_a_successor_that_leaves_a_key_is_taken(case: str) -> None:
    before, after = STRICTER[case]
    new = from_text(after, CREDENTIALS | KEYS)
    check_successor(from_text(before, CREDENTIALS | KEYS), new)
    assert new.has_keys
