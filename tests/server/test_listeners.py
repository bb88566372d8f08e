"""Where callers and operators come in: TLS of the proxy's own, and a port for operators."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.server.test_process import run
from tests.support.chat import PATH, ask, body, frames, stream, text_of
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.certificate import Certificate, self_signed
from tests.support.tools import require

TLS = STACKSPOT + "proxy:\n  tls: {cert: cert.pem, key: key.pem}\n"
ADMIN = STACKSPOT + "proxy:\n  admin: {port: 0}\n"


@pytest.fixture
def secured(tmp_path: Path, stand_in: StandIn) -> Iterator[Proxy]:
    certificate = self_signed(tmp_path)
    (tmp_path / "config.yaml").write_text(TLS)
    stand_in.script("tls", {"text": "Olá", "repeat": True})
    process = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, trust=certificate.cert)
    yield process
    process.stop()


def presented(proxy: Proxy) -> str:
    url = httpx.URL(proxy.url)
    return ssl.get_server_certificate((url.host, url.port or 443))


def test_callers_are_served_over_tls(secured: Proxy) -> None:
    assert secured.url.startswith("https://")
    assert "Olá" == ask(secured, "tls", model="chat").json()["choices"][0]["message"]["content"]
    with stream(secured, "tls", model="chat") as reply:
        found = frames(reply)
    assert ("Olá", "[DONE]") == (text_of(found), found[-1])


def test_curl_takes_it(secured: Proxy, tmp_path: Path) -> None:
    require("curl")
    command = ["curl", "-sSN", "--cacert", "cert.pem", secured.url + PATH, "-H", "correlation-id: tls"]
    sent = [*command, "-H", "content-type: application/json", "-d", json.dumps(body(model="chat", stream=True))]
    ended = subprocess.run(sent, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout.endswith("data: [DONE]\n\n")


def test_a_long_answer_and_a_slow_reader(secured: Proxy, stand_in: StandIn) -> None:
    deltas = [f"{number} " * 2000 for number in range(40)]
    stand_in.script("tls-long", {"deltas": deltas, "interval_s": 0})
    with stream(secured, "tls-long", model="chat") as reply:
        assert "".join(deltas) == text_of(frames(reply))


def test_a_new_certificate_is_shown_without_a_restart(secured: Proxy, tmp_path: Path) -> None:
    before = presented(secured)
    assert 200 == secured.client.get("/health").status_code
    self_signed(tmp_path)
    secured.wait_event(15, event="config.reloaded")
    after = presented(secured)
    assert before != after
    assert (tmp_path / "cert.pem").read_text().strip() == after.strip()
    assert 200 == secured.client.get("/health").status_code, "who is connected stays so"
    (tmp_path / "key.pem").write_text("no key\n")
    assert "config.yaml:5" in secured.wait_event(15, event="config.reload_failed")["reason"]
    assert after == presented(secured)


def test_who_speaks_no_tls_is_turned_away_quietly(secured: Proxy) -> None:
    url = httpx.URL(secured.url)
    with socket.create_connection((url.host, url.port or 443), timeout=5) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert not plain.recv(1000).startswith(b"HTTP/")
    assert 200 == secured.client.get("/health").status_code
    assert [] == [event for event in secured.events() if event["level"] in ("error", "warning")]


UNUSABLE = {
    "no file": ("{cert: gone.pem, key: key.pem}", "proxy.tls.cert: gone.pem cannot be read"),
    "no key": ("{cert: cert.pem}", "proxy.tls: key is missing"),
    "no certificate in it": ("{cert: key.pem, key: key.pem}", "proxy.tls: key.pem and key.pem cannot be served with"),
    "another's key": ("{cert: cert.pem, key: other/key.pem}", "cannot be served with: KEY_VALUES_MISMATCH"),
    "a locked key": ("{cert: cert.pem, key: locked.pem}", "cannot be served with"),
    "unknown": ("{cert: cert.pem, kye: key.pem}", "unknown key; did you mean 'key'?"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "other").mkdir()
    made: Certificate = self_signed(folder)
    self_signed(folder / "other")
    locked = ["-in", str(made.key), "-out", str(folder / "locked.pem"), "-aes256", "-passout", "pass:secret"]
    subprocess.run(["openssl", "ec", *locked], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_served_with_stops_the_start(files: Path, case: str) -> None:
    setting, words = UNUSABLE[case]
    (files / "bad.yaml").write_text(f"{STACKSPOT}proxy:\n  tls: {setting}\n")
    ended = run("serve", "--config", "bad.yaml", cwd=files, env=CREDENTIALS)
    assert 1 == ended.returncode
    assert "bad.yaml:5: proxy.tls" in ended.stderr
    assert words in ended.stderr


def test_operators_have_a_port_of_their_own(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ADMIN)
    url = proxy.wait_event(event="operators.listening")["url"]
    hidden = proxy.client.get("/metrics")
    assert (404, "not_found") == (hidden.status_code, hidden.json()["error"]["code"])
    stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    with httpx.Client(base_url=url) as operator:
        assert "proxy_build_info" in operator.get("/metrics").text
        asked = operator.post(PATH, headers={"correlation-id": correlation_id}, json=body(model="chat"))
        for client in (proxy.client, operator):
            for path in ("/health", "/ready", "/v1/models"):
                assert 200 == client.get(path).status_code
    assert 200 == asked.status_code == ask(proxy, correlation_id, model="chat").status_code
    assert 0 == proxy.stop()


@pytest.mark.parametrize("setting", ["{}", "{host: 127.0.0.1}", "{port: 70000}", "{port: x}", "{prt: 1}"])
def test_an_operators_port_that_is_none(tmp_path: Path, setting: str) -> None:
    (tmp_path / "bad.yaml").write_text(f"{STACKSPOT}proxy:\n  admin: {setting}\n")
    ended = run("check", "--no-network", "--config", "bad.yaml", cwd=tmp_path, env=CREDENTIALS)
    if setting == "{}":
        assert 0 == ended.returncode
    else:
        assert (1, True) == (ended.returncode, "bad.yaml:5: proxy.admin" in ended.stderr)


def test_the_settings_are_shown(files: Path) -> None:
    text = f"{STACKSPOT}proxy:\n  tls: {{cert: cert.pem, key: key.pem}}\n  admin: {{port: 9464}}\n  cache: {{models: [chat]}}\n"
    (files / "good.yaml").write_text(text)
    shown = run("check", "--no-network", "--config", "good.yaml", cwd=files, env=CREDENTIALS).stdout
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith("  proxy.")}
    assert ["cert.pem", "good.yaml:5"] == rows["proxy.tls.cert"]
    assert ["9464", "good.yaml:6"] == rows["proxy.admin.port"]
    assert ["127.0.0.1", "default"] == rows["proxy.admin.host"]
    assert ["chat", "good.yaml:7"] == rows["proxy.cache.models"]
    assert ["300", "default"] == rows["proxy.cache.ttl_s"]
