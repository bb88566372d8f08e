"""Switching traces on and off, OpenTelemetry's variables, and receivers that are not well."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import Config, ConfigError, Model
from proxy.telemetry.observing import observe
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import ask, frames, stream
from tests.support.collector import Collector
from tests.support.processes import CREDENTIALS, ROOT
from tests.telemetry.conftest import SOON

pytestmark = pytest.mark.slow

CONFIG = Config(models=(Model("m", "openai", "m"),))
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
IMPORTED = """\
import asyncio, sys
from proxy.cli import main
from proxy.config import Config, Model
from proxy.server.service import Service

async def make(**settings):
    Service(Config(models=(Model("m", "openai", "m"),), **settings))

asyncio.run(make())
print(sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "google", "requests"}))
"""


def serve(env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """A start that fails."""
    clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | CREDENTIALS
    command = [sys.executable, "-m", "proxy", "serve", "--port", "0"]
    return subprocess.run(command, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=30, check=False)


def test_nothing_of_it_is_imported_when_it_is_off(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORTED]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    printed = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert "[]\n" == printed


def test_requests_import_nothing_of_it_either(launch: Launch, tmp_path: Path, correlation_id: str) -> None:
    for name in ("opentelemetry", "google", "requests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("open(f'imported-{__name__}', 'w').close()")
    proxy = launch(STACKSPOT, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    with stream(proxy, correlation_id, model="chat") as reply:
        frames(reply)
    assert 404 == ask(proxy, correlation_id, model="none").status_code
    assert 0 == proxy.stop()
    assert [] == list(tmp_path.glob("imported-*"))


def test_a_missing_package_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError('not here')")
    ended = serve({ENDPOINT: "http://127.0.0.1:4318", "PYTHONPATH": f"{tmp_path}:{ROOT}"}, tmp_path)
    assert (1, True) == (ended.returncode, "pip install 'stackspot-proxy[otel]'" in ended.stderr)
    assert "Traceback" not in ended.stderr


UNUSABLE: dict[str, tuple[dict[str, str], str]] = {
    "no scheme": ({ENDPOINT: "collector:4318"}, f"{ENDPOINT}: a URL"),
    "no host": ({ENDPOINT: "http://"}, f"{ENDPOINT}: a URL"),
    "one of traces alone": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "c"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: a URL"),
    "grpc": (
        {ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        "OTEL_EXPORTER_OTLP_PROTOCOL: traces are sent by http/protobuf only, not by 'grpc'",
    ),
}


@pytest.mark.parametrize(("variables", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_variables_that_cannot_work(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        observe(replace(CONFIG, otel=variables))


def test_what_opentelemetry_itself_refuses_stops_the_start(tmp_path: Path) -> None:
    ended = serve({ENDPOINT: "http://c:4318", "OTEL_BSP_MAX_QUEUE_SIZE": "1"}, tmp_path)
    assert (1, True) == (ended.returncode, "the OTEL_ variables: " in ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr


SWITCHED_OFF: dict[str, dict[str, str]] = {
    "nothing is set": {},
    "no endpoint": {"OTEL_SERVICE_NAME": "x"},
    "by its exporter": {ENDPOINT: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    "as a whole": {ENDPOINT: "http://c:4318", "OTEL_SDK_DISABLED": "true"},
}


@pytest.mark.parametrize("variables", SWITCHED_OFF.values(), ids=SWITCHED_OFF)
def test_switched_off(variables: dict[str, str]) -> None:
    assert observe(replace(CONFIG, otel=variables)).observers.traces is None


def test_the_variables_of_opentelemetry(launch: Launch, collector: Collector, correlation_id: str) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20cGxhbnRlZA==,x-project=p",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test,service.name=ignored",
        "OTEL_SERVICE_NAME": "proxy-of-ours",
    } | SOON
    proxy = launch(STACKSPOT, env=variables)
    ask(proxy, correlation_id, model="chat")
    server = collector.wait_for_server_span(correlation_id)[0]
    expected = {"service.name": "proxy-of-ours", "deployment.environment": "test"}
    assert expected.items() <= server["resource"].items()
    headers = collector.headers()[-1]
    assert ("Basic cGxhbnRlZA==", "p", "gzip") == (
        headers["authorization"], headers["x-project"], headers["content-encoding"],
    )  # fmt: skip
    assert 0 == proxy.stop()
    assert "cGxhbnRlZA" not in proxy.output


def test_what_a_library_logs_holds_no_secret_either(launch: Launch, collector: Collector) -> None:
    """OpenTelemetry complains of a header by quoting all of it."""
    broken = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization: planted-header-secret"}
    proxy = launch(STACKSPOT, env={ENDPOINT: collector.url} | broken)
    told = proxy.wait_event(event="library.message")["message"]
    assert ("Header format invalid" in told, True) == (True, told.endswith("********"))
    assert "planted" not in proxy.output


def test_variables_of_a_dotenv(launch: Launch, tmp_path: Path, collector: Collector, correlation_id: str) -> None:
    lines = {ENDPOINT: collector.url, "OTEL_SERVICE_NAME": "from-dotenv"} | SOON
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    ask(launch(STACKSPOT), correlation_id, model="chat")
    server = collector.wait_for_server_span(correlation_id)[0]
    assert "from-dotenv" == server["resource"]["service.name"]


def test_the_last_spans_are_sent_at_the_end(launch: Launch, collector: Collector, correlation_id: str) -> None:
    proxy = launch(STACKSPOT, env={ENDPOINT: collector.url})
    ask(proxy, correlation_id, model="chat")
    assert [] == collector.spans(correlation_id)
    assert 0 == proxy.stop()
    assert 2 == len(collector.spans(correlation_id))


@pytest.fixture
def unwell(tmp_path: Path) -> Collector:
    process = Collector(tmp_path)
    yield process
    process.stop()


def test_a_receiver_that_hangs_holds_nothing_up(launch: Launch, unwell: Collector, correlation_id: str) -> None:
    unwell.mode("hang")
    proxy = launch(STACKSPOT, env={ENDPOINT: unwell.url, "OTEL_BSP_MAX_QUEUE_SIZE": "32"} | SOON
                   | {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"})  # fmt: skip
    ask(proxy, correlation_id, model="chat")
    unwell.wait_until(unwell.headers, bool)
    times = []
    for number in range(50):
        started = time.monotonic()
        assert 404 == ask(proxy, f"{correlation_id}-{number}", model="none").status_code
        times.append(time.monotonic() - started)
    assert 0.5 > max(times)
    started = time.monotonic()
    assert 0 == proxy.stop()
    assert 6 > time.monotonic() - started
    assert proxy.events(event="traces.unsent")


def test_a_receiver_that_goes_away_is_told_once(launch: Launch, unwell: Collector, correlation_id: str) -> None:
    unwell.mode("refuse")
    proxy = launch(STACKSPOT, env={ENDPOINT: unwell.url} | SOON)
    for number in range(3):
        ask(proxy, f"{correlation_id}-{number}", model="none")
        unwell.wait_until(unwell.headers, lambda seen, least=number: len(seen) > least)
    lost = proxy.wait_event(event="traces.lost")
    assert ("warning", True) == (lost["level"], "400" in lost["reason"])
    unwell.mode("take")
    ask(proxy, correlation_id, model="none")
    assert 3 == proxy.wait_event(event="traces.restored")["lost"]
    assert 1 == len(proxy.events(event="traces.lost"))
    assert 0 == proxy.stop()
    assert not proxy.events(event="library.message")
