"""``proxy.cache``: what is switched on, and what cannot be."""

from pathlib import Path

import pytest

from proxy.config import ConfigError
from proxy.config.settings import Cache
from tests.config.test_load import STACKSPOT, from_text


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_is_off() -> None:
    assert Cache() == from_text(STACKSPOT).cache
    assert () == Cache().models


def test_models_and_bounds() -> None:
    text = STACKSPOT + "proxy:\n  cache: {models: [chat, 'ch*'], ttl_s: 60, max_mb: 0.5, max_entries: 7}\n"
    assert Cache(("chat", "ch*"), 60, 0.5, 7) == from_text(text).cache


WRONG = {
    "no such model": ("", "{models: [chat, chit]}", "proxy.cache.models: there is no model 'chit'; known are chat"),
    "an unknown key": ("", "{model: [chat]}", "proxy.cache.model: unknown key; did you mean 'models'?"),
    "no time at all": ("", "{models: [chat], ttl_s: 0}", "proxy.cache.ttl_s"),
    "no list": ("", "{models: chat}", "proxy.cache.models: a list is expected here"),
    "it remembers": (", conversation: correlation-id", "{models: ['*']}", "proxy.cache.models: chat: it remembers"),
    "its end cannot be told": (
        ", end_marker: optional",
        "{models: [chat]}",
        "proxy.cache.models: chat: without an end",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_stops_the_start(case: str) -> None:
    more, setting, words = WRONG[case]
    text = STACKSPOT.replace("stackspot/agent", f"stackspot/agent{more}") + f"proxy:\n  cache: {setting}\n"
    with pytest.raises(ConfigError, match=r"given\.yaml:5: ") as raised:
        from_text(text)
    assert words in str(raised.value)
