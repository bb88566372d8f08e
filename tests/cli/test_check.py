"""``python -m proxy check``: what it shows, what it finds, and what it keeps to itself."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import Ended, run
from tests.support.processes import CREDENTIALS, ROOT, StandIn
from tests.support.provider.certificate import self_signed
from tests.support.provider.process import Provider
from tests.support.redis_server import RedisServer
from tests.support.tools import require

CHAT = "  - model_name: chat\n    litellm_params: {model: stackspot/agent}\n"
GPT = '  - model_name: gpt\n    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY}}\n'
KEY = {"KEY": "planted-provider-key"}


def models(*entries: str) -> str:
    return "model_list:\n" + "".join(entries)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_everything_is_reached(tmp_path: Path, stand_in: StandIn, provider: Provider) -> None:
    """One login for each account, one GET for each address, and no model call."""
    second = CHAT.replace("agent}", "agent, client_id: second}")
    other = GPT.replace("name: gpt", "name: other")
    text = models(CHAT, CHAT, second, *(entry.format(base=provider.base_url) for entry in (GPT, other)))
    (tmp_path / "config.yaml").write_text(text)
    provider.reset()
    before = stand_in.stats()
    ended = run(tmp_path, "check", env=CREDENTIALS | stand_in.env | KEY)
    after = stand_in.stats()
    assert (0, "") == (ended.code, ended.err)
    for what in (
        "client the-client",
        "client second",
        f"stackspot at {stand_in.url} (chat)",
        f"openai at {provider.base_url} (gpt, other)",
    ):
        assert ended.line(what).startswith("  ok ")
    assert "all 4 checks passed" == ended.out.splitlines()[-1]
    assert (2, 0) == (after["logins"] - before["logins"], after["generations"] - before["generations"])
    assert [("GET", "/v1/models", 200)] == [
        (sent["method"], sent["path"], sent["status"]) for sent in provider.requests()
    ]


LIMIT_S = 2.0
"""The time one check may take: twice the configured time to connect."""
MORE_SILENT = 6
WRONG = {
    "a wrong secret": ("realm acme, client the-client", "refused with 401: check CLIENT_ID, CLIENT_SECRET and REALM of the proxy (realm from environment REALM, client_id from environment CLIENT_ID, client_secret from config.yaml:3)"),
    "a wrong realm": ("realm no-such-realm", "refused with 404: check REALM and STACKSPOT_IDM_URL of the proxy (realm from config.yaml:5"),
    "nobody there": ("(refused)", "Connection refused; check api_base (config.yaml:7), the network and HTTPS_PROXY"),
    "nobody speaks": ("(silent)", "no answer within 2 s; check api_base (config.yaml:9)"),
    "a certificate of its own": ("(self-signed)", "self-signed certificate; set ssl_verify"),
    "no TLS": ("(plain)", "does it speak http:// instead?"),
    "no Redis": ("Redis at redis://********@127.0.0.1:1/0", "Connection refused; check REDIS_URL"),
}  # fmt: skip


@pytest.fixture(scope="module")
def all_wrong(tmp_path_factory: pytest.TempPathFactory, stand_in: StandIn, provider: Provider, silent: str) -> Ended:
    """One check of everything that can be wrong, side by side."""
    folder = tmp_path_factory.mktemp("wrong")
    certificate = self_signed(folder)
    secure = Provider(folder, certificate=certificate)
    (folder / "config.yaml").write_text(
        models(
            CHAT.replace("agent}", "agent, client_secret: wrong-secret}"),
            CHAT.replace("agent}", "agent, realm: no-such-realm}"),
            GPT.replace("name: gpt", "name: refused").format(base="http://127.0.0.1:1/v1"),
            GPT.replace("name: gpt", "name: silent").format(base=silent),
            GPT.replace("name: gpt", "name: self-signed").format(base=secure.base_url),
            GPT.replace("name: gpt", "name: trusted")
            .format(base=secure.base_url)
            .replace("}", f", ssl_verify: {certificate.cert}}}"),
            GPT.replace("name: gpt", "name: unchecked")
            .format(base=secure.base_url)
            .replace("}", ", ssl_verify: false}"),
            GPT.replace("name: gpt", "name: plain").format(base=provider.base_url.replace("http", "https")),
            GPT.replace("name: gpt", "name: wrong-key")
            .format(base=provider.base_url)
            .replace("os.environ/KEY", "wrong-key"),
            GPT.replace("name: gpt", "name: elsewhere").format(base=f"{provider.url}/nothing/_provider"),
            *(
                GPT.replace("name: gpt", f"name: silent-{number}").format(base=f"{silent}/{number}")
                for number in range(MORE_SILENT)
            ),
        )
        + f"proxy: {{timeouts: {{connect: {LIMIT_S / 2:g}}}}}\n"
    )
    started = time.monotonic()
    redis = {"REDIS_URL": "redis://:planted-password@127.0.0.1:1/0"}
    try:
        ended = run(folder, "check", env=CREDENTIALS | stand_in.env | KEY | redis)
    finally:
        secure.stop()
    assert (MORE_SILENT + 1) * LIMIT_S > time.monotonic() - started, (
        "the checks run side by side, each within its limit"
    )
    return ended


@pytest.mark.parametrize("case", WRONG)
def test_what_fails_says_what_to_set(all_wrong: Ended, case: str) -> None:
    what, reason = WRONG[case]
    line = next(line for line in all_wrong.out.splitlines() if what in line and line.startswith("  FAILED "))
    assert reason in line


def test_every_failure_is_named_at_the_end(all_wrong: Ended) -> None:
    summary = all_wrong.out.splitlines()[-1]
    assert (1, "") == (all_wrong.code, all_wrong.err)
    assert summary.startswith(f"{len(WRONG) + MORE_SILENT} of {12 + MORE_SILENT} checks failed: ")
    assert [] == [case for case, (what, _) in WRONG.items() if what not in summary]


def test_any_answer_of_a_provider_counts(all_wrong: Ended) -> None:
    key = next(line for line in all_wrong.out.splitlines() if line.startswith("  ok ") and "(wrong-key)" in line)
    assert "answers 401: it may not take the key; check api_key (from config.yaml:19)" in key
    for name in ("trusted", "unchecked", "elsewhere"):
        assert any(line.startswith("  ok ") and f"({name})" in line for line in all_wrong.out.splitlines())


def test_redis(tmp_path: Path, provider: Provider) -> None:
    require("redis")
    server = RedisServer(tmp_path, password="planted%word")
    (tmp_path / "config.yaml").write_text(models(GPT.format(base=provider.base_url)))

    def check(password: str) -> str:
        url = {"REDIS_URL": server.url.replace("//", f"//:{password}@")}
        return run(tmp_path, "check", env=KEY | url).line("  Redis at ")

    try:
        assert "answers" in check("planted%25word")
        assert "it does not take the password" in check("planted-other")
        (tmp_path / "redis.py").write_text("raise ImportError\n")  # as where the extra is not installed
        assert "pip install 'stackspot-proxy[redis]'" in check("planted%25word")
    finally:
        server.stop()


def test_a_ready_key_is_not_checked(tmp_path: Path, stand_in: StandIn) -> None:
    (tmp_path / "config.yaml").write_text(models(CHAT))
    ended = run(tmp_path, "check", env=stand_in.env | {"STACKSPOT_API_KEY": "planted-key", "GENAI_AGENT_ID": "01"})
    assert 0 == ended.code
    assert "a ready key is not checked" in ended.line("stackspot at ")
    assert "login" not in ended.out


def test_settings_and_their_origins(tmp_path: Path) -> None:
    """Without the network: nobody listens at any of these addresses."""
    (tmp_path / "secret").write_text("planted-secret\n")
    (tmp_path / ".env").write_text("REALM=dotted\nLOG_LEVEL=WARNING\n")
    (tmp_path / "own.yaml").write_text(
        models(CHAT, GPT.format(base="http://127.0.0.1:1/v1"))
        + "general_settings: {master_key: planted-master, alerting: []}\n"
        + "proxy:\n  timeouts: {idle: 7}\n  api_keys: [{name: app, key: os.environ/APP, models: [gpt]}]\n"
    )
    env = {key: value for key, value in CREDENTIALS.items() if key not in ("REALM", "CLIENT_SECRET")}
    env |= KEY | {
        "APP": "planted-app",
        "CLIENT_SECRET_FILE": "secret",
        "REDIS_URL": "redis://user:planted@h:1/0?password=planted",
    }
    ended = run(tmp_path, "check", "--config", "own.yaml", "--no-network", env=env)
    assert (0, "") == (ended.code, ended.err)
    for row in (
        ["PROXY_CONFIG", "own.yaml", "flag"],
        ["PROXY_PORT", "4000", "default"],
        ["LOG_LEVEL", "WARNING", ".env LOG_LEVEL"],
        ["REDIS_URL", "redis://********@h:1/0?********", "environment REDIS_URL"],
        ["general_settings.master_key", "********", "own.yaml:6"],
        ["proxy.timeouts.idle", "7", "own.yaml:8"],
        ["proxy.api_keys[0].key", "********", "environment APP"],
        ["proxy.api_keys[0].models", "gpt", "own.yaml:9"],
        ["realm", "dotted", ".env REALM"],
        ["client_id", "the-client", "environment CLIENT_ID"],
        ["client_secret", "********", "environment CLIENT_SECRET_FILE"],
    ):
        assert row == ended.columns(row[0])
    assert "own.yaml:4" in ended.line("model gpt (")
    assert "own.yaml:6: general_settings.alerting" in ended.out
    assert "nothing else was checked" in ended.out.splitlines()[-1]


UNUSABLE: dict[str, tuple[str, dict[str, str], str]] = {
    "no agent id": (models(CHAT), {"GENAI_AGENT_ID": ""}, "given.yaml:3: model_list[0].litellm_params: model 'chat' has no agent_id (GENAI_AGENT_ID)"),
    "an unknown key": (models(CHAT) + "proxy: {timeout: 1}\n", {}, "given.yaml:4: proxy.timeout: unknown key; did you mean 'timeouts'?"),
    "a key in place of an address": (models(GPT.format(base="os.environ/KEY")), KEY, "given.yaml:3: model_list[0].litellm_params.api_base: a URL that begins with https:// or http:// is expected"),
    "a password with a slash": (models(CHAT), {"REDIS_URL": "redis://:planted/word@h:1"}, "REDIS_URL: redis://:PASSWORD@HOST"),
    "no file": ("", {"PROXY_CONFIG": "gone.yaml"}, "gone.yaml: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_config_that_cannot_be_used(tmp_path: Path, command: str, case: str) -> None:
    """The same words from both."""
    text, env, reason = UNUSABLE[case]
    (tmp_path / "given.yaml").write_text(text)
    ended = run(tmp_path, command, env=CREDENTIALS | {"PROXY_CONFIG": "given.yaml"} | env)
    assert (1, "") == (ended.code, ended.out)
    assert reason in ended.err


def test_agents_and_no_network_exclude_each_other(tmp_path: Path) -> None:
    ended = run(tmp_path, "check", "--agents", "--no-network", env=CREDENTIALS)
    assert (2, True) == (ended.code, "--no-network" in ended.err)


def test_it_can_be_interrupted(tmp_path: Path, silent: str) -> None:
    (tmp_path / "config.yaml").write_text(models(GPT.format(base=silent)))
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "check"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)} | KEY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "network" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert ("", 130) == (process.communicate(timeout=5)[1], process.returncode)
