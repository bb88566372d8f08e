"""``validate_on_start``: the same pings before the proxy serves, and what it says when one fails."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.run import run
from tests.cli.test_check import CHAT, GPT, KEY, models
from tests.conftest import Launch
from tests.support.chat import ask
from tests.support.processes import CREDENTIALS, Proxy, StandIn

ON = "proxy: {validate_on_start: true}\n"
WRONG = models(CHAT.replace("agent}", "agent, client_secret: wrong-secret}"), GPT.format(base="http://127.0.0.1:1/v1"))


def test_it_does_not_serve_when_a_ping_fails(tmp_path: Path, stand_in: StandIn) -> None:
    (tmp_path / "config.yaml").write_text(WRONG + ON)
    ended = run(tmp_path, "serve", "--port", "0", env=CREDENTIALS | stand_in.env | KEY)
    events = [json.loads(line) for line in ended.out.splitlines()]
    failed = {event["what"]: event["reason"] for event in events if event["event"] == "check.failed"}
    assert (1, "") == (ended.code, ended.err)
    assert ["error"] * 3 == [event["level"] for event in events[-3:]]
    assert {
        "openai at http://127.0.0.1:1/v1 (gpt)",
        "StackSpot's login, realm acme, client the-client",
    } == failed.keys()
    assert "Connection refused; check api_base" in failed["openai at http://127.0.0.1:1/v1 (gpt)"]
    assert "start.failed" == events[-1]["event"]
    assert [] == [what for what in failed if what not in events[-1]["reason"]]
    assert "server.listening" not in ended.out


def test_for_people(tmp_path: Path, stand_in: StandIn) -> None:
    (tmp_path / "config.yaml").write_text(WRONG + ON)
    ended = run(tmp_path, "--port", "0", env=CREDENTIALS | stand_in.env | KEY | {"LOG_FORMAT": "console"})
    assert (1, 2) == (ended.code, ended.out.count("check.failed"))


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_it_serves(launch: Launch, stand_in: StandIn, correlation_id: str, on: bool) -> None:
    """When all is well; and by default also when nothing is, so that a sidecar starts."""
    logins = stand_in.stats()["logins"]
    stand_in.script(correlation_id, {"text": "Hi"})
    proxy = launch(models(CHAT) + ON if on else WRONG, env=KEY)
    assert (1 if on else 0) == stand_in.stats()["logins"] - logins
    assert (200 if on else 502) == ask(proxy, correlation_id, model="chat").status_code
    assert [] == proxy.events(event="check.failed")


def test_a_demo_validates_its_simulator(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(models(CHAT) + ON)
    proxy = Proxy(env={}, cwd=tmp_path, arguments=["--demo"])
    assert [] == proxy.events(event="check.failed")
    assert 0 == proxy.stop()


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_start_names_the_address_and_a_command_that_works(tmp_path: Path, form: str) -> None:
    """Not only at a terminal: a CI and a log file get them too."""
    proxy = Proxy(env={"LOG_FORMAT": form}, cwd=tmp_path, arguments=["--demo"])
    if form == "json":
        (listening,) = proxy.events(event="server.listening")
        command = listening["example"]
    else:
        command = proxy.wait_for(r"(?s)curl -N .*?Hello!\"}]}'")[0]
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20)
    assert 0 == proxy.stop()
    assert proxy.url in command
    assert "data: [DONE]" in done.stdout, done.stderr
