"""``chat``: one answer, inside the command and by a running proxy; what goes to which output, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import run
from tests.cli.terminal import Terminal
from tests.conftest import Launch
from tests.support.processes import CREDENTIALS, ROOT, Proxy, StandIn

pytestmark = pytest.mark.slow

KEYS = ["output", "provider", "model", "usage", "latency_ms", "correlation_id"]
SLOW = {"text": "One two three four five six seven eight nine ten", "interval_s": 0.3}


@pytest.fixture(params=["inside", "a running proxy"])
def way(request: pytest.FixtureRequest, proxy: Proxy, stand_in: StandIn) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment that lead to the same answers, by both ways."""
    if request.param == "inside":
        return [], CREDENTIALS | stand_in.env
    return ["--base-url", f"{proxy.url}/v1/"], {"LOG_FORMAT": "json"}


def test_one_json_object_and_nothing_else(
    way: tuple[list[str], dict[str, str]], tmp_path: Path, stand_in: StandIn, correlation_id: str
) -> None:
    arguments, env = way
    stand_in.script(correlation_id, {"text": "Olá, mundo!"})
    ended = run(
        tmp_path, "chat", "--model", "stackspot", "--user", "Hi", "--system", "Be kind.",
        "--correlation-id", correlation_id, *arguments, env=env | {"LOG_LEVEL": "DEBUG"},
    )  # fmt: skip
    assert (0, "") == (ended.code, ended.err)
    answer = json.loads(ended.out)
    assert KEYS == list(answer)
    assert ["Olá, mundo!", "stackspot", "agent", correlation_id] == [answer[KEYS[at]] for at in (0, 1, 2, 5)]
    assert 0 < answer["latency_ms"]
    (asked,) = stand_in.requests(correlation_id)
    assert "Be kind." in asked["body"]["user_prompt"]


def test_a_stream_is_the_text_as_it_arrives(
    way: tuple[list[str], dict[str, str]], tmp_path: Path, stand_in: StandIn, correlation_id: str
) -> None:
    arguments, env = way
    stand_in.script(correlation_id, {"text": "Olá,\nmundo \x1b[31m!"})
    ended = run(
        tmp_path, "chat", "--model", "stackspot", "--stream", "--correlation-id", correlation_id, *arguments,
        env=env, stdin="What is\nthis?\n",
    )  # fmt: skip
    assert (0, "Olá,\nmundo \x1b[31m!\n", "") == (ended.code, ended.out, ended.err)
    (asked,) = stand_in.requests(correlation_id)
    assert "What is\nthis?" in asked["body"]["user_prompt"]


def test_it_arrives_before_its_end(tmp_path: Path, proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    """And who stops reading, as `head` does, ends it without complaints."""
    stand_in.script(correlation_id, SLOW)
    command = ["chat", "--model", "stackspot", "--user", "Hi", "--stream", "--correlation-id", correlation_id]
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", *command, "--base-url", proxy.url],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"One" == os.read(process.stdout.fileno(), 100).strip()
    process.stdout.close()
    assert (141, b"") == (process.wait(10), process.stderr.read())
    process.stderr.close()
    assert (
        "client_disconnect" == proxy.wait_event(event="request.finished", correlation_id=correlation_id)["end_reason"]
    )


FAILING: dict[str, tuple[list[str], str, int]] = {
    "an unknown model": (["--model", "nope", "--user", "Hi"], "the model 'nope' is not configured", 1),
    "a malformed id": (["--model", "stackspot", "--user", "Hi", "--correlation-id", "a b"], "(400 correlation_id_invalid)", 1),
    "an empty prompt": (["--model", "stackspot", "--user", "-"], "the prompt is empty", 1),
    "no model": (["--user", "Hi"], "the following arguments are required: --model", 2),
    "no address": (["--model", "m", "--user", "Hi", "--base-url", "localhost:4000"], "http", 2),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", FAILING)
def test_failures_go_to_standard_error(tmp_path: Path, proxy: Proxy, case: str, stream: bool) -> None:
    arguments, reason, code = FAILING[case]
    where = [] if "--base-url" in arguments else ["--base-url", proxy.url]
    ended = run(tmp_path, "chat", *arguments, *where, *(["--stream"] if stream else []), env={})
    assert (code, "") == (ended.code, ended.out)
    assert reason in ended.err
    if code == 1:
        assert 1 == len(ended.err.splitlines())


def test_nobody_there(tmp_path: Path) -> None:
    ended = run(tmp_path, "chat", "--model", "m", "--user", "Hi", "--base-url", "http://127.0.0.1:1", env={})
    assert (1, "") == (ended.code, ended.out)
    assert "Connection refused: is the proxy running at http://127.0.0.1:1?" in ended.err


def test_an_answer_that_breaks_off_fails(
    way: tuple[list[str], dict[str, str]], tmp_path: Path, stand_in: StandIn, correlation_id: str
) -> None:
    """What came of it is there; that it is not whole is told."""
    arguments, env = way
    stand_in.script(
        correlation_id, {"deltas": ["Half ", "of it"], "cut": {"how": "reset", "after": 2}, "interval_s": 0.05}
    )
    command = ["chat", "--model", "stackspot", "--user", "Hi", "--stream", "--correlation-id", correlation_id]
    ended = run(tmp_path, *command, *arguments, env=env)
    assert (1, "Half of it\n") == (ended.code, ended.out)
    assert "(upstream_truncated)" in ended.err


@pytest.fixture
def halting() -> Iterator[tuple[str, list[bytes]]]:
    """A server whose streams end cleanly and too early; and the requests that it got."""
    asked: list[bytes] = []
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(head + b'data: {"choices":[{"delta":{"content":"Half"}}]}\n\n')

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def test_a_stream_without_its_end_is_not_asked_for_again(tmp_path: Path, halting: tuple[str, list[bytes]]) -> None:
    """As its reader would do by itself, for a second completion that somebody pays for."""
    url, asked = halting
    ended = run(tmp_path, "chat", "--model", "m", "--user", "Hi", "--stream", "--base-url", url, env={})
    assert (1, "Half\n", 1) == (ended.code, ended.out, len(asked))
    assert "the stream ended before the answer was complete" in ended.err


def test_the_key_is_sent(tmp_path: Path, launch: Launch) -> None:
    """From the environment or `.env`; without it the proxy says what is missing."""
    proxy = launch(env={"PROXY_API_KEY": "planted-key"})
    command = ["chat", "--model", "stackspot", "--user", "Hi", "--base-url", proxy.url]
    without = run(tmp_path, *command, env={})
    assert (1, True) == (without.code, "(401 invalid_api_key)" in without.err)
    (tmp_path / ".env").write_text("PROXY_API_KEY=planted-key\n")
    assert 0 == run(tmp_path, *command, env={}).code


def test_at_a_terminal(tmp_path: Path, proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    """A line shows that it waits, and is gone when the text comes; what a model writes cannot steer the terminal."""
    stand_in.script(correlation_id, {"text": "Said \x1b[2J it.", "before_events_s": 1.2})
    command = ["chat", "--model", "stackspot", "--user", "Hi", "--stream", "--correlation-id", correlation_id]
    terminal = Terminal(tmp_path, *command, "--base-url", proxy.url, env={})
    terminal.wait_for("waiting for stackspot 1 s")
    assert 0 == terminal.end()
    assert "\r\x1b[2KSaid [2J it.\r\n" in terminal.shown
    assert "first text after " in terminal.shown.splitlines()[-1]


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=["colours", "none wanted"])
def test_colours_are_for_terminals(tmp_path: Path, env: dict[str, str]) -> None:
    command = ["chat", "--model", "m", "--user", "Hi", "--base-url", "http://127.0.0.1:1"]
    terminal = Terminal(tmp_path, *command, env=env)
    assert 1 == terminal.end()
    assert ("\x1b[31m" in terminal.shown) is not bool(env)
    assert "\x1b" not in run(tmp_path, *command, env=env).err


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_ctrl_c(
    way: tuple[list[str], dict[str, str]], tmp_path: Path, stand_in: StandIn, correlation_id: str, stream: bool
) -> None:
    """It ends at once, with the code of an interrupt, no traceback, and nobody generating on for it."""
    arguments, env = way
    stand_in.script(correlation_id, SLOW | {"before_events_s": 0.5})
    command = ["chat", "--model", "stackspot", "--user", "Hi", "--correlation-id", correlation_id, *arguments]
    terminal = Terminal(tmp_path, *command, *(["--stream"] if stream else []), env=env)
    terminal.wait_for("One" if stream else "waiting for stackspot 1 s")
    terminal.interrupt()
    assert 130 == terminal.end()
    assert "Traceback" not in terminal.shown
    deadline = time.monotonic() + 10
    while stand_in.requests(correlation_id)[0]["end"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "complete" != stand_in.requests(correlation_id)[0]["end"]


def test_a_prompt_typed_at_a_terminal(tmp_path: Path, proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": "Yes."})
    command = ["chat", "--model", "stackspot", "--correlation-id", correlation_id, "--base-url", proxy.url]
    terminal = Terminal(tmp_path, *command, env={})
    terminal.wait_for("Ctrl-D ends it")
    terminal.type("Is it?\n\x04")
    assert 0 == terminal.end()
    assert '"output": "Yes."' in terminal.shown
    waiting = Terminal(tmp_path, *command, env={})
    waiting.wait_for("Ctrl-D ends it")
    waiting.interrupt()
    assert (130, signal.SIGINT) == (waiting.end(), 2)
