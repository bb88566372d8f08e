"""Signals while the proxy starts, waits and reads: it ends when it is asked to, whatever it is waiting for."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import PATH, ask, body
from tests.support.processes import CREDENTIALS, Process, Proxy, StandIn

pytestmark = pytest.mark.slow

SOON_S = 8
"""Shorter than every limit that would end the wait itself, and long for a busy machine."""
PROCESS_1 = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the proxy without waiting until it serves; it is gone after the test."""
    started: list[Process] = []

    def run(*arguments: str, module: str = "proxy", within: Sequence[str] = (), **env: str) -> Process:
        command = [*within, sys.executable, "-m", module, *arguments]
        started.append(Process(command, CREDENTIALS | {"PROXY_PORT": "0"} | env, tmp_path))
        return started[-1]

    yield run
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.wait()


def ends(process: Process, seconds: float = SOON_S) -> int:
    """The exit code of a process that was signalled."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still there after {seconds} s:\n{process.output}")


def until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """One that takes connections and never says a word; its address, and whether somebody has come."""
    came = threading.Event()
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    kept.append(listening.accept()[0])
                except OSError:
                    return
                if kept[-1].recv(65536):
                    came.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", came
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("process_1", [False, True], ids=["a process", "process 1"])
@pytest.mark.parametrize("hang_up_first", [False, True], ids=["SIGTERM", "SIGHUP, SIGTERM"])
def test_sigterm_while_modules_are_imported(start: Start, process_1: bool, hang_up_first: bool) -> None:
    """The kernel gives process 1 of a container no signal that it has no handler for."""
    if process_1:
        tried = subprocess.run([*PROCESS_1, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"no namespace of one's own here: {tried.stderr}")
    process = start(module="tests.support.slow_start", within=PROCESS_1 if process_1 else ())
    process.wait_for("importing")
    root = psutil.Process(process.process.pid)
    target = root.children()[0] if process_1 else root
    if hang_up_first:
        target.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert target.is_running()
    target.send_signal(signal.SIGTERM)
    assert 0 == ends(process)
    assert "Traceback" not in process.output


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that cannot be read: who opens it waits for somebody to write."""
    os.mkfifo(tmp_path / "pipe.yaml")
    return tmp_path / "pipe.yaml"


@pytest.mark.parametrize("hang_up_first", [False, True], ids=["SIGTERM", "SIGHUP, SIGTERM"])
@pytest.mark.parametrize("opened", [False, True], ids=["it is opened", "it is read"])
def test_sigterm_while_the_configuration_is_read(start: Start, pipe: Path, opened: bool, hang_up_first: bool) -> None:
    process = start("--config", pipe.name)
    root = psutil.Process(process.process.pid)
    until(lambda: root.num_threads() > 1)
    time.sleep(0.1)
    writer = os.open(pipe, os.O_WRONLY) if opened else None
    if hang_up_first:
        root.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert root.is_running()
    root.send_signal(signal.SIGTERM)
    assert 0 == ends(process)
    if writer is not None:
        os.close(writer)


def test_interrupt_while_the_configuration_is_read(start: Start, pipe: Path) -> None:
    process = start("--config", pipe.name)
    until(lambda: psutil.Process(process.process.pid).num_threads() > 1)
    time.sleep(0.1)
    process.process.send_signal(signal.SIGINT)
    assert 130 == ends(process)


def test_sigterm_while_another_command_reads(start: Start, pipe: Path) -> None:
    process = start("check", "--config", pipe.name)
    with held_open(pipe):
        time.sleep(0.1)
        process.process.send_signal(signal.SIGTERM)
        assert 143 == ends(process)


@contextmanager
def held_open(pipe: Path) -> Iterator[None]:
    """Opened for a reader that has come, with nothing written."""
    deadline = time.monotonic() + 20
    while True:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:  # there is no reader yet
            assert time.monotonic() < deadline
            time.sleep(0.01)
    yield
    os.close(writer)


def test_sigterm_while_the_configuration_is_looked_at(launch: Launch, tmp_path: Path, pipe: Path) -> None:
    """A file system that no longer answers stops the reload, and nothing else."""
    proxy = launch(STACKSPOT)
    pipe.rename(tmp_path / "config.yaml")
    until(lambda: psutil.Process(proxy.process.pid).num_threads() > 1)
    time.sleep(1.5)
    assert 200 == proxy.client.get("/health").status_code
    proxy.process.send_signal(signal.SIGHUP)
    proxy.process.send_signal(signal.SIGTERM)
    assert 0 == ends(proxy)


def test_sigterm_while_the_start_validates(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT + "proxy: {validate_on_start: true}\n")
    with silent_server() as (address, came):
        process = start(STACKSPOT_IDM_URL=f"http://{address}", STACKSPOT_API_URL=f"http://{address}")
        assert came.wait(20)
        process.process.send_signal(signal.SIGTERM)
        assert 0 == ends(process)
    assert "Traceback" not in process.output


def test_sigterm_while_redis_does_not_answer(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("redis")
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    with silent_server() as (address, came):
        process = start(REDIS_URL=f"redis://{address}/0")
        assert came.wait(20)
        process.process.send_signal(signal.SIGTERM)
        assert 0 == ends(process)
    assert "Traceback" not in process.output


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_request_that_waits_for_a_login_is_turned_away(tmp_path: Path, stand_in: StandIn, streamed: bool) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    with silent_server() as (address, came), ThreadPoolExecutor() as pool:
        proxy = Proxy(env=CREDENTIALS | stand_in.env | {"STACKSPOT_IDM_URL": f"http://{address}"}, cwd=tmp_path)
        asked = pool.submit(ask, proxy, "waits-for-a-login", model="chat", stream=streamed)
        assert came.wait(10)
        proxy.process.send_signal(signal.SIGTERM)
        turned_away(asked.result(SOON_S))
        assert 0 == ends(proxy)


def turned_away(reply: httpx.Response) -> None:
    assert (503, "shutting_down") == (reply.status_code, reply.json()["error"]["code"])
    assert ("1", "close") == (reply.headers["retry-after"], reply.headers["connection"])


QUEUE = STACKSPOT + "proxy: {commit_after: 0.3, quota: {requests_per_minute: 1, queue_timeout: 120}}\n"


def test_stream_that_waits_with_its_headers_out_ends_with_an_error(
    launch: Launch, stand_in: StandIn, correlation_id: str
) -> None:
    proxy = launch(QUEUE)
    stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    assert 200 == ask(proxy, correlation_id, model="chat").status_code
    headers = {"correlation-id": correlation_id}
    with proxy.client.stream("POST", PATH, headers=headers, json=body(model="chat", stream=True)) as reply:
        assert 200 == reply.status_code
        started = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        [event] = [line for line in reply.iter_lines() if line.startswith("data: ")]
        assert SOON_S > time.monotonic() - started
    assert "shutting_down" == json.loads(event.removeprefix("data: "))["error"]["code"]
    assert 0 == ends(proxy)
    assert 1 == len(stand_in.requests(correlation_id))


def test_request_whose_body_is_on_its_way_is_turned_away(launch: Launch) -> None:
    proxy = launch(STACKSPOT)
    url = httpx.URL(proxy.url)
    with socket.create_connection((url.host, url.port or 80), timeout=SOON_S) as caller:
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncorrelation-id: slow\r\ncontent-length: 1000\r\n\r\n{{"
        caller.sendall(head.encode())
        time.sleep(0.5)
        proxy.process.send_signal(signal.SIGTERM)
        got = b""
        while piece := caller.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 503 ")
    assert b'"shutting_down"' in got
    assert 0 == ends(proxy, 20)


def test_cached_answer_on_its_way_is_not_turned_away(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    """Nothing was sent upstream for it, and nothing has to be."""
    proxy = launch(STACKSPOT + "proxy: {cache: {models: [chat], max_answer_kb: 20000}}\n")
    stand_in.script(correlation_id, {"deltas": ["word " * 10_000] * 100, "interval_s": 0})
    assert 200 == ask(proxy, correlation_id, model="chat", temperature=0).status_code
    fields = body(model="chat", temperature=0, stream=True)
    with proxy.client.stream("POST", PATH, headers={"correlation-id": correlation_id}, json=fields) as reply:
        assert "hit" == reply.headers["x-proxy-cache"]
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_event(event="shutdown.draining", answers=1)
        time.sleep(0.5)
        lines = [line for line in reply.iter_lines() if line]
    assert "data: [DONE]" == lines[-1]
    assert 0 == ends(proxy)
