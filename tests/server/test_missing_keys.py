"""A key that is named but absent never leaves the proxy open: neither at the start nor while it serves."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.config.test_callers_keys import ENDPOINT, KEYS, KEYS_FIRST, MASTER, PLAIN, WHOLE
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.server.test_process import run
from tests.support.processes import CREDENTIALS, Proxy

pytestmark = pytest.mark.slow


def status(proxy: Proxy, key: str = "", path: str = "/v1/models") -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return proxy.client.get(path, headers=headers).status_code


def reload(proxy: Proxy) -> str:
    """Ask for a reload and wait for its outcome; the event, with the reason when there is one."""
    before = len(outcomes(proxy))
    proxy.process.send_signal(signal.SIGHUP)
    return asyncio.run(outcome(proxy, before))


def outcomes(proxy: Proxy) -> list[str]:
    names = ("config.reloaded", "config.reload_failed")
    return [f"{event['event']} {event.get('reason', '')}" for event in proxy.events() if event["event"] in names]


async def outcome(proxy: Proxy, before: int) -> str:
    async with asyncio.timeout(30):
        while len(outcomes(proxy)) <= before:  # noqa: ASYNC110 - of a log
            await asyncio.sleep(0.01)
    return outcomes(proxy)[-1]


ABSENT = {
    "a variable that is not set": ((), MASTER, {}, "config.yaml:5: general_settings.master_key: CALLERS is not set"),
    "with --demo, too": (("--demo",), MASTER, {}, "config.yaml:5: general_settings.master_key: CALLERS is not set"),
    "an empty file": ((), PLAIN, {"PROXY_API_KEY_FILE": "empty"}, "PROXY_API_KEY_FILE: empty is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", ABSENT)
def test_a_named_but_absent_secret_stops_the_start(case: str, tmp_path: Path) -> None:
    arguments, text, env, message = ABSENT[case]
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "empty").write_text("")
    ended = run("serve", *arguments, cwd=tmp_path, env=CREDENTIALS | env | {"PROXY_PORT": "0"})
    assert (1, True) == (ended.returncode, message in ended.stderr), ended.stderr


ROTATED: dict[str, tuple[bool, str | None]] = {
    "emptied": (True, ""),
    "half of it": (True, "planted-mas"),
    "gone": (True, None),
    "emptied, by PROXY_API_KEY_FILE alone": (False, "\n"),
}
"""Whether the config file names the key, and what is in the key's file."""


@pytest.mark.parametrize("case", ROTATED)
def test_a_key_file_caught_in_rotation_leaves_the_key_in_force(launch: Launch, tmp_path: Path, case: str) -> None:
    named, written = ROTATED[case]
    file = tmp_path / "key"
    file.write_text(KEYS["MASTER"])
    variable = "CALLERS" if named else "PROXY_API_KEY"
    proxy = launch(MASTER if named else PLAIN, env={f"{variable}_FILE": "key"})
    assert (401, 200) == (status(proxy), status(proxy, KEYS["MASTER"]))
    if written is None:
        file.unlink()
    else:
        file.write_text(written)
    proxy.wait_event(15, event="config.reload_failed")
    assert (401, 401, 200) == (status(proxy), status(proxy, "planted-mas"), status(proxy, KEYS["MASTER"]))
    file.write_text("planted-new-key")
    proxy.wait_event(15, event="config.reloaded")
    assert (401, 401, 200) == (status(proxy), status(proxy, KEYS["MASTER"]), status(proxy, "planted-new-key"))


@pytest.mark.parametrize(
    ("text", "more"), [(WHOLE, {}), (KEYS_FIRST, ENDPOINT)], ids=["whole", "keys first, a model of the environment"]
)
def test_no_beginning_of_the_file_takes_authentication_away(
    launch: Launch, tmp_path: Path, text: str, more: dict[str, str]
) -> None:
    """The file is cut at each line, each time after it was whole."""
    file = tmp_path / "config.yaml"
    proxy = launch(text, env=KEYS | more)
    lines = text.splitlines(keepends=True)
    for count in range(len(lines)):
        beginning = "".join(lines[:count])
        file.write_text(beginning)
        reload(proxy)
        assert 401 == status(proxy), beginning
        assert status(proxy, KEYS["CHATTER"]) in (200, 401), beginning
        assert status(proxy, KEYS["CHATTER"], "/v1/models/code") in (404, 401), beginning
        file.write_text(text)
        assert reload(proxy).startswith("config.reloaded"), "whole again"
        assert 200 == status(proxy, KEYS["CHATTER"])


def test_a_reload_that_leaves_no_key_is_refused(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(MASTER, env={"CALLERS": KEYS["MASTER"]})
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    failed = proxy.wait_event(15, event="config.reload_failed")
    assert ("error", True) == (failed["level"], "no key for callers is left" in failed["reason"])
    assert (401, 200) == (status(proxy), status(proxy, KEYS["MASTER"]))
    assert 0 == proxy.metric("proxy_config_last_reload_successful")


def test_a_default_file_that_is_gone_leaves_its_settings_in_force(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(STACKSPOT + "proxy: {page: false}\n", env={"PROXY_API_KEY": KEYS["MASTER"]})
    (tmp_path / "config.yaml").unlink()
    assert "config.yaml: nothing that it set is in it any more" in str(
        proxy.wait_event(15, event="config.reload_failed")["reason"]
    )
    assert 404 == status(proxy, path="/")


@pytest.mark.parametrize("written", ["# nothing yet\n", None], ids=["a comment", "gone"])
def test_a_dotenv_caught_half_written_leaves_the_key_in_force(
    launch: Launch, tmp_path: Path, written: str | None
) -> None:
    (tmp_path / ".env").write_text(f"PROXY_API_KEY={KEYS['MASTER']}\n")
    proxy = launch(PLAIN)
    if written is None:
        (tmp_path / ".env").unlink()
    else:
        (tmp_path / ".env").write_text(written)
    proxy.wait_event(15, event="config.reload_failed")
    assert (401, 200) == (status(proxy), status(proxy, KEYS["MASTER"]))


def test_a_model_whose_credential_is_gone_stays(launch: Launch, tmp_path: Path) -> None:
    """In the default file it would be left out at a start."""
    (tmp_path / ".env").write_text("MORE_ID=more\nLOG_FORMAT=json\n")
    more = "  - {model_name: more, litellm_params: {model: groq/x, api_key: os.environ/MORE_ID}}\n"
    proxy = launch(STACKSPOT + more, env={"PROXY_API_KEY": KEYS["MASTER"]})
    (tmp_path / ".env").write_text("LOG_FORMAT=json\n")
    assert "credentials of more are not set" in str(proxy.wait_event(15, event="config.reload_failed")["reason"])
    assert 200 == status(proxy, KEYS["MASTER"], "/v1/models/more")


def test_one_of_several_keys_may_go(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(WHOLE, env=KEYS)
    assert 200 == status(proxy, KEYS["CHATTER"])
    (tmp_path / "config.yaml").write_text(WHOLE.partition("  api_keys:")[0])
    proxy.wait_event(15, event="config.reloaded")
    assert (401, 401, 200) == (status(proxy), status(proxy, KEYS["CHATTER"]), status(proxy, KEYS["MASTER"]))


OPEN = {
    "all addresses": ({"PROXY_HOST": "0.0.0.0"}, "", ["PROXY_HOST"]),
    "all addresses of IPv6": ({"PROXY_HOST": "::"}, "", ["PROXY_HOST"]),
    "the operators' port": ({}, "proxy: {admin: {port: 0, host: 0.0.0.0}}\n", ["proxy.admin.host"]),
    "both": ({"PROXY_HOST": "0.0.0.0"}, "proxy: {admin: {port: 0, host: 0.0.0.0}}\n", ["PROXY_HOST", "proxy.admin.host"]),
    "loopback": ({"PROXY_HOST": "127.0.0.2"}, "", []),
    "loopback by name": ({"PROXY_HOST": "localhost"}, "", []),
    "with a key": ({"PROXY_HOST": "0.0.0.0", "PROXY_API_KEY": KEYS["MASTER"]}, "", []),
}  # fmt: skip


@pytest.mark.parametrize("case", OPEN)
def test_an_open_address_without_a_key_is_warned_of(launch: Launch, case: str) -> None:
    env, more, settings = OPEN[case]
    proxy = launch(STACKSPOT + more, env=env)
    proxy.wait_event(event="config.loaded")
    warnings = proxy.events(event="keys.missing", level="warning")
    assert settings == [warning["setting"] for warning in warnings]
    assert all("PROXY_API_KEY" in warning["reason"] for warning in warnings)


def test_the_check_warns_of_it_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    for env, warned in (({"PROXY_HOST": "0.0.0.0"}, True), ({}, False)):
        ended = run("check", "--no-network", cwd=tmp_path, env=CREDENTIALS | env)
        assert (0, warned) == (ended.returncode, "PROXY_HOST: the proxy listens on 0.0.0.0" in ended.stdout)
