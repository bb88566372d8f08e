"""``check --agents``: every entry answers by itself, on the way that callers' requests take."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import run
from tests.cli.test_check import CHAT, GPT, KEY, models
from tests.support.processes import CREDENTIALS, StandIn
from tests.support.provider.process import Provider

RULES = """\
router_settings: {num_retries: 0, fallbacks: [{chat: [gpt]}]}
general_settings: {master_key: os.environ/MASTER}
proxy:
  correlation: {header: x-conversation}
  api_keys: [{name: app, key: os.environ/APP, models: [nothing-of-these]}]
"""
ENV = CREDENTIALS | KEY | {"MASTER": "planted-master", "APP": "planted-app"}


@pytest.fixture(autouse=True, scope="module")
def no_pauses(stand_in: StandIn) -> Iterator[None]:
    stand_in.settings(interval_s=0)
    yield
    stand_in.settings(interval_s=0.02)


def test_every_entry_answers_by_itself(tmp_path: Path, stand_in: StandIn) -> None:
    """Neither the other entries of a name nor its fallback stand in for the one that cannot."""
    provider = Provider(tmp_path)
    echo = {"status": 400, "body": {"error": {"message": f"no such key: {KEY['KEY']}\x1b[31m"}}}
    provider.script("*", {"text": "Olá\nmundo \x1b[31m" + "x" * 100}, echo | {"repeat": True})
    second = CHAT.replace("agent}", "agent, client_id: second, client_secret: wrong-secret}")
    entries = (GPT.format(base=provider.base_url), CHAT, second)
    (tmp_path / "config.yaml").write_text(models(*entries) + RULES)
    try:
        first = run(tmp_path, "check", "--agents", env=ENV | stand_in.env)
        again = run(tmp_path, "check", "--agents", env=ENV | stand_in.env)
    finally:
        provider.stop()
    assert (1, "") == (first.code, first.err)
    assert '"Olá mundo [31mxxx' in first.line("  model gpt: ")
    assert first.line("  model gpt: ").endswith('x..."')
    assert "ok" in first.line("  model chat #1: ")
    assert "FAILED" in first.line("  model chat #2: ")
    assert "upstream_auth" in first.line("  model chat #2: ")
    assert "client second" in first.out.splitlines()[-1]
    assert "FAILED" in again.line("  model gpt: ")
    assert "no such key: ********" in again.line("  model gpt: ")
    assert "\x1b" not in first.out + again.out


def test_all_is_well(tmp_path: Path, stand_in: StandIn) -> None:
    (tmp_path / "config.yaml").write_text(models(CHAT) + "proxy: {quota: {requests_per_minute: 1, queue_timeout: 1}}\n")
    ended = run(tmp_path, "check", "--agents", env=CREDENTIALS | stand_in.env)
    assert 0 == ended.code
    assert "Hello! You wrote" in ended.line("  model chat: ")
    assert "all 3 checks passed" == ended.out.splitlines()[-1]
