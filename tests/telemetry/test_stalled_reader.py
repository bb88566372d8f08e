"""A reader of the log that stalls, as a hung collector does: its pipe is open and full, and nobody else waits for it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.chat import PATH, body
from tests.support.ports import free_port
from tests.support.processes import CREDENTIALS, ROOT, StandIn

EXIT_S = 30
"""What the process may take to end, its drain included, on a busy machine. With a reader that blocks it: for ever."""
LONG = "word " * 20_000
CONFIG = """\
model_list:
  - {model_name: chat, litellm_params: {model: stackspot/agent}}
  - {model_name: gone, litellm_params: {model: openai/gone, api_base: "http://127.0.0.1:1/v1"}}
router_settings: {num_retries: 0}
"""
LOST = "proxy_log_lines_lost_total"


class FullPipe:
    """A pipe without room for another byte, whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.filled = 0
        try:
            while True:
                self.filled += os.write(self.writing, b"-" * 4095 + b"\n")
        except BlockingIOError:
            os.set_blocking(self.writing, True)
        self.data = b""

    def read_until(self, wanted: bytes) -> list[str]:
        """The lines up to one that holds ``wanted``, without what filled the pipe."""
        while wanted not in self.data or not self.data.endswith(b"\n"):
            piece = os.read(self.reading, 1 << 16)
            assert piece, "the process has ended"
            self.data += piece
        return self.data[self.filled :].decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[FullPipe]:
    made = FullPipe()
    yield made
    os.close(made.reading)


class Started:
    """A proxy whose standard output and standard error are ``pipe``."""

    def __init__(self, pipe: FullPipe, env: dict[str, str], cwd: Path) -> None:
        port = free_port()
        needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PROXY_PORT": str(port)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy"],
            env=CREDENTIALS | needed | env,
            cwd=cwd,
            stdout=pipe.writing,
            stderr=pipe.writing,
        )
        os.close(pipe.writing)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=9), timeout=30
        )

    def ask(self, text: str = "planted: hello", model: str = "chat") -> int:
        headers = {"correlation-id": "stalled"}
        return self.client.post(PATH, headers=headers, json=body(text, model=model)).status_code

    def lost(self) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{LOST} ")).split()[1])

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        return self.process.wait(EXIT_S)


@pytest.fixture
def start(pipe: FullPipe, stand_in: StandIn, tmp_path: Path) -> Iterator[Any]:
    started: list[Started] = []

    def start(**env: str) -> Started:
        (tmp_path / "config.yaml").write_text(CONFIG)
        started.append(Started(pipe, stand_in.env | {"LOG_LEVEL": "DEBUG"} | env, tmp_path))
        return started[-1]

    yield start
    for proxy in started:
        proxy.client.close()
        proxy.process.kill()
        proxy.process.wait()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_full_pipe_stops_neither_start_nor_requests_nor_end(start: Any, form: str) -> None:
    proxy = start(LOG_FORMAT=form)
    assert 200 == proxy.client.get("/health").status_code
    assert [200] * 5 == [proxy.ask() for _ in range(5)]
    assert 0 == proxy.stop()


def fill(proxy: Started) -> None:
    """Asks a model that cannot be reached until lines are lost. Each request is logged with its long prompt."""
    for _ in range(500):
        assert 502 == proxy.ask(LONG, "gone")
        if proxy.lost():
            return
    raise AssertionError("no line was lost")


def test_lines_that_do_not_fit_are_counted_and_the_next_ones_are_written(start: Any, pipe: FullPipe) -> None:
    proxy = start(LOG_FORMAT="json", LOG_MESSAGES="true")
    fill(proxy)
    assert 200 == proxy.client.get("/health").status_code
    lost = int(proxy.lost())
    events = [json.loads(line) for line in pipe.read_until(b"log.lines_lost")]
    (notice,) = [event for event in events if event["event"] == "log.lines_lost"]
    assert ("warning", lost) == (notice["level"], notice["lines"])
    assert {"config.loaded", "server.listening", "request.messages"} <= {event["event"] for event in events}
    assert 404 == proxy.client.get("/again").status_code
    assert "request.rejected" == json.loads(pipe.read_until(b"/again")[-1])["event"]
    assert lost == proxy.lost()
    assert 0 == proxy.stop()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_start_that_fails_ends(pipe: FullPipe, tmp_path: Path, form: str) -> None:
    (tmp_path / "config.yaml").write_text("model_list: 5\n")
    proxy = Started(pipe, {"LOG_FORMAT": form}, tmp_path)
    proxy.client.close()
    assert 1 == proxy.process.wait(EXIT_S)
