"""The process: how it starts, what its probes say, how it ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support import leaks
from tests.support.chat import ask, frames, stream, text_of
from tests.support.processes import ROOT, Process, Proxy, StandIn


def run(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "proxy", *arguments]
    ended = subprocess.run(
        command, cwd=cwd, env=clean | (env or {}), capture_output=True, text=True, timeout=30, check=False
    )
    leaks.look(ended.stdout + ended.stderr, with_messages=False)
    return ended


def test_without_credentials_the_start_stops_with_what_to_set(tmp_path: Path) -> None:
    ended = run("serve", cwd=tmp_path)
    assert 1 == ended.returncode
    for hint in ("CLIENT_ID", "CLIENT_SECRET", "REALM", "GENAI_AGENT_ID", "--demo"):
        assert hint in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("probe", ["config", "port", "unknown"])
def test_other_starts_that_cannot_work(tmp_path: Path, proxy: Proxy, probe: str) -> None:
    (tmp_path / "bad.yaml").write_text("model_list: []\nproxy: {portt: 1}\n")
    taken = proxy.url.rsplit(":", 1)[1]
    arguments = {"config": ["--config", "bad.yaml"], "port": ["--demo", "--port", taken], "unknown": ["--nope"]}[probe]
    ended = run(*arguments, cwd=tmp_path)
    assert ended.returncode in (1, 2)
    assert {"config": "bad.yaml:2", "port": "address already in use", "unknown": "--nope"}[probe] in ended.stderr
    assert "Traceback" not in ended.stderr


def test_demo(tmp_path: Path) -> None:
    """No credentials, no config: an address, a curl line, and it works."""
    process = Process([sys.executable, "-m", "proxy", "--demo"], {"LOG_FORMAT": "console", "PROXY_PORT": "0"}, tmp_path)
    url = process.wait_for(r"listens on (http://\S+)")[1]
    curl = process.wait_for(r"(?s)(curl .*?}'\n)")[1]
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=20, check=True).stdout
    assert url in curl
    assert "data: [DONE]" in answer
    assert 0 == process.stop()


def test_dotenv_is_read(tmp_path: Path, stand_in: StandIn) -> None:
    lines = {"CLIENT_ID": "c", "CLIENT_SECRET": "s", "REALM": "r", "GENAI_AGENT_ID": "a", **stand_in.env}
    (tmp_path / ".env").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    proxy = Proxy(env={}, cwd=tmp_path)
    assert 200 == ask(proxy, "dotenv").status_code
    assert 0 == proxy.stop()


def test_installed_command() -> None:
    script = Path(sys.executable).parent / "stackspot-proxy"
    assert "0." in subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout


def test_probes_and_models(proxy: Proxy) -> None:
    for path in ("/health", "/healthz", "/health/liveliness"):
        assert "ok" == proxy.client.get(path).json()["status"]
    for path in ("/ready", "/health/readiness"):
        assert 200 == proxy.client.get(path).status_code
    listed = proxy.client.get("/v1/models").json()
    assert "list" == listed["object"]
    assert "m-1" == proxy.client.get("/v1/models", headers={"correlation-id": "m-1"}).headers["correlation-id"]
    assert {"id", "object", "created", "owned_by"} == listed["data"][0].keys()
    names = [model["id"] for model in listed["data"]]
    assert {"stackspot-ai-chat", "stackspot", "stackspot-code"} <= set(names)
    assert listed["data"][0] == proxy.client.get(f"/v1/models/{names[0]}").json()


def test_metrics_in_both_formats(proxy: Proxy) -> None:
    plain = proxy.client.get("/metrics")
    assert "text/plain" in plain.headers["content-type"]
    assert "proxy_build_info" in plain.text
    assert "_created" not in plain.text
    open_metrics = proxy.client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert "openmetrics" in open_metrics.headers["content-type"]
    assert open_metrics.text.endswith("# EOF\n")


def test_output_is_json_lines_and_nothing_else(launch: Launch) -> None:
    proxy = launch()
    ask(proxy, "json-1")
    proxy.client.get("/nope")
    assert 0 == proxy.stop()
    assert all({"event", "level", "timestamp"} <= event.keys() for event in proxy.events())


def test_shutdown_lets_answers_end(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch()
    stand_in.script(correlation_id, {"deltas": list("abcdefgh"), "interval_s": 0.2})
    with stream(proxy, correlation_id) as reply:
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_event(event="shutdown.draining")
        assert 503 == proxy.client.get("/ready").status_code
        assert 200 == proxy.client.get("/health").status_code
        refused = ask(proxy, "late")
        assert (503, "1", "close") == (
            refused.status_code, refused.headers["retry-after"], refused.headers["connection"],
        )  # fmt: skip
        assert "abcdefgh" == text_of(frames(reply))
    assert 0 == proxy.wait(5)


def test_shutdown_ends_what_takes_too_long_with_a_word(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "proxy: {drain_timeout: 0.5}\n")
    stand_in.script(correlation_id, {"text": "Hello", "pause": {"seconds": 30, "after": 1}})
    with stream(proxy, correlation_id, model="chat") as reply:
        threading.Timer(0.3, lambda: proxy.process.send_signal(signal.SIGTERM)).start()
        found = frames(reply)
    assert "shutting_down" == found[-1]["error"]["code"]
    assert 0 == proxy.wait(5)
    assert "shutdown" == proxy.events(event="request.finished")[-1]["end_reason"]


def test_a_second_signal_ends_at_once(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch()
    stand_in.script(correlation_id, {"text": "Hello", "pause": {"seconds": 30, "after": 1}})
    with stream(proxy, correlation_id) as reply:
        lines = reply.iter_lines()
        next(lines)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_event(event="shutdown.draining")
        started = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        assert 0 == proxy.wait(10)
        assert 4 > time.monotonic() - started
