"""Log events: each with its level and fields, one wide line a request, and nothing in them that is nobody's business."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import WEATHER_TOOL, ask, frames, stream
from tests.support.collector import Collector
from tests.support.processes import ROOT, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.telemetry.broad_run import (
    ANSWER,
    CALL,
    CASES,
    CONFIG,
    PLANTED,
    QUESTION,
    env_of,
    in_json,
    live_through,
)
from tests.telemetry.conftest import SOON

EVENTS: dict[str, tuple[str, set[str]]] = {
    "config.loaded": ("info", {"source", "models"}),
    "auth.succeeded": ("info", {"duration_ms"}),
    "auth.failed": ("error", {"duration_ms", "code", "reason"}),
    "sse.connected": ("info", {"upstream", "round"}),
    "sse.closed": ("info", {"upstream", "events", "duration_ms"}),
    "tool_call.detected": ("info", {"name", "size"}),
    "tool_call.arguments": ("debug", {"name", "arguments"}),
    "request.finished": (
        "info",
        {"model", "upstream", "status", "end_reason", "duration_ms", "code"},
    ),
    "request.rejected": ("warning", {"status", "code", "reason"}),
    "sse.event_invalid": ("warning", {"upstream", "count"}),
    "tls.verification_disabled": ("warning", {"model", "api_base"}),
    "upstream.failed": ("error", {"upstream", "code", "reason"}),
    "upstream.retried": ("warning", {"model", "upstream", "code", "reason", "delay_ms"}),
    "upstream.fell_back": ("warning", {"model", "upstream", "code", "reason", "to"}),
    "stream.chunks": ("debug", {"upstream", "downstream"}),
}
OF_AN_ANSWER = {"stream", "ttft_ms", "chunks", "events", "tool_calls", "rounds", "tokens", "prompt_tokens", "bytes"}
BEFORE_REQUESTS = {"config.loaded", "config.warning", "tls.verification_disabled", "server.listening"}
OUTSIDE = BEFORE_REQUESTS | {"shutdown.draining", "library.message", "traces.unsent"}


IN_JSON = pytest.mark.parametrize("form", ["json"], indirect=True)  # the other form is for people
NO_REQUEST = "this is no HTTP request"
"""What is told of a connection on which no request came."""


def requests_of(lines: list[str]) -> list[dict[str, Any]]:
    return [event for event in in_json(lines) if NO_REQUEST not in event.get("reason", "")]


@pytest.fixture(scope="module", params=["json", "console"])
def form(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def broad(
    form: str, stand_in: StandIn, provider: Provider, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[list[str], Path]]:
    """All that a proxy wrote in a long life, and the folder it lived in."""
    folder = tmp_path_factory.mktemp(form)
    (folder / "config.yaml").write_text(CONFIG.format(base=provider.base_url))
    proxy = Proxy(env=env_of(stand_in, collector.url) | SOON | {"LOG_FORMAT": form}, cwd=folder)
    try:
        live_through(proxy, stand_in, provider, form)
    finally:
        assert 0 == proxy.stop()
    return proxy.lines, folder


def test_every_event_has_its_level_and_its_fields(form: str, broad: tuple[list[str], Path]) -> None:
    lines, _ = broad
    if form == "console":
        for name, (level, fields) in EVENTS.items():
            found = [line for line in lines if name in line.split() and NO_REQUEST not in line]
            assert found, name
            assert all(f"[{level:<9}]" in line or f"[{level}" in line for line in found), found
            assert all(f"{field}=" in line for line in found for field in fields), found
        return
    for name, (level, fields) in EVENTS.items():
        found = [event for event in requests_of(lines) if event["event"] == name]
        assert found, name
        assert {level} == {event["level"] for event in found}
        assert all(fields <= event.keys() for event in found), found


@IN_JSON
def test_every_line_is_json_and_carries_its_request(broad: tuple[list[str], Path]) -> None:
    assert all({"event", "level", "timestamp"} <= event.keys() for event in in_json(broad[0]))
    for event in requests_of(broad[0]):
        if event["event"] not in OUTSIDE:
            assert "request_id" in event, event
        if event["event"] in ("request.finished", "sse.connected", "upstream.failed", "tool_call.detected"):
            assert event.get("correlation_id") or event["code"] in ("correlation_id_missing", "correlation_id_invalid")


@IN_JSON
def test_one_wide_line_a_request(broad: tuple[list[str], Path]) -> None:
    finished = [event for event in in_json(broad[0]) if event["event"] == "request.finished"]
    assert {1} == set(Counter(event["request_id"] for event in finished).values())
    by_case = {event.get("correlation_id"): event for event in finished}
    for name, case in CASES.items():
        assert case.status == by_case[f"json-{name}"]["status"]
        if case.status == 200:
            line = by_case[f"json-{name}"]
            assert OF_AN_ANSWER <= line.keys()
            assert line["prompt_tokens"] + line["completion_tokens"] == line["tokens"]
            assert (any(part in name for part in ("error-", "broken-off", "truncated", "midway"))) == (
                line["code"] is not None
            )
    assert ("client_disconnect", 499) == (by_case["json-left"]["end_reason"], by_case["json-left"]["status"])
    assert not [line for line in broad[0] if "HTTP/1.1" in line], "an access line of aiohttp's"


@IN_JSON
def test_what_was_refused_is_told_as_a_warning_what_failed_as_an_error(broad: tuple[list[str], Path]) -> None:
    told = {
        (event["event"], event["correlation_id"].removeprefix("json-"))
        for event in in_json(broad[0])
        if event["event"] in ("request.rejected", "upstream.failed") and "correlation_id" in event
    }
    failed = [
        name
        for name, case in CASES.items()
        if case.status > 499 or name in ("limited", "error-inside", "told-our-key-midway")
    ]
    assert {("upstream.failed", name) for name in [*failed, "truncated", "broken-off"]} == {
        item for item in told if item[0] == "upstream.failed"
    }
    refused = [name for name, case in CASES.items() if case.status in (400, 404)]
    assert {("request.rejected", name) for name in [*refused, "nonsense"]} == {
        item for item in told if item[0] == "request.rejected"
    }


def test_no_secret_and_no_text_is_told(broad: tuple[list[str], Path]) -> None:
    """Not in the output, nor in what is written beside it."""
    lines, folder = broad
    for line in lines:
        assert PLANTED not in line
        assert "eyJ" not in line, "a token"
        assert "old river" not in line
        assert "as they all do" not in line
    written = [path for sub in ("runs", "captured") for path in (folder / sub).rglob("*.json*")]
    assert 10 < len(written)
    for path in written:
        assert PLANTED not in path.read_text()


def test_no_secret_and_no_text_is_traced(form: str, broad: tuple[list[str], Path], collector: Collector) -> None:
    spans = [span for span in collector.spans() if span["attributes"].get("correlation_id", "").startswith(f"{form}-")]
    assert len(CASES) < len(spans)
    assert PLANTED not in repr(spans)


MESSAGES = {"LOG_MESSAGES": "true"}
FAULT = """\
import sys
import structlog
from proxy.telemetry import logs

def fail(prompt):
    raise RuntimeError("a fault")

logs.configure("INFO", sys.argv[1])
try:
    fail("planted")
except RuntimeError:
    structlog.get_logger().exception("request.failed")
"""


def test_messages_and_answers_when_asked_for(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT, env=MESSAGES | {"LOG_LEVEL": "INFO"})
    assert "warning" == proxy.wait_event(event="messages.logged")["level"]
    stand_in.script(correlation_id, {"text": ANSWER}, {"text": CALL})
    ask(proxy, correlation_id, model="chat", text=f"{QUESTION} the-client planted-client-secret")
    asked = proxy.wait_event(event="request.messages", correlation_id=correlation_id)
    answered = proxy.wait_event(event="answer.text", correlation_id=correlation_id)
    assert [{"role": "user", "content": f"{QUESTION} the-client ********"}] == asked["messages"]
    assert (ANSWER, "info", "info") == (answered["text"], answered["level"], asked["level"])
    ask(proxy, correlation_id, model="chat", tools=[WEATHER_TOOL])
    answered = proxy.wait_event(event="answer.text", text="")
    assert [{"name": "get_weather", "arguments": '{"city": "Recife"}'}] == answered["tool_calls"]


def test_an_answer_that_broke_off_is_told_as_far_as_it_came(
    launch: Launch, stand_in: StandIn, correlation_id: str
) -> None:
    proxy = launch(STACKSPOT, env=MESSAGES)
    stand_in.script(correlation_id, {"deltas": ["One ", "two "], "cut": {"how": "clean", "after": 2}})
    with stream(proxy, correlation_id, model="chat") as reply:
        frames(reply)
    assert "One two " == proxy.wait_event(event="answer.text", correlation_id=correlation_id)["text"]


def test_what_is_told_is_bounded(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT, env=MESSAGES)
    stand_in.script(correlation_id, {"deltas": ["word "] * 20_000, "interval_s": 0})
    long = [{"role": "user", "content": f"{number} " * 10_000} for number in range(10)]
    ask(proxy, correlation_id, model="chat", messages=long)
    answered = proxy.wait_event(event="answer.text", correlation_id=correlation_id)
    asked = proxy.wait_event(event="request.messages", correlation_id=correlation_id)
    assert 40_000 > len(str(asked["messages"]))
    assert asked["messages"][-1]["content"].startswith("9 ")
    assert "note" == asked["messages"][0]["role"]
    assert (32 * 1024, 100_000 - 32 * 1024) == (len(answered["text"]), answered["left_out"])


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_locals_in_tracebacks(form: str) -> None:
    """They hold what was asked and answered, and secrets on their way."""
    command = [sys.executable, "-c", FAULT, form]
    written = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert ("RuntimeError: a fault" in written, PLANTED in written) == (True, False)


CRASH = """\
import threading
from proxy.telemetry import logs

class Stubborn:
    def __del__(self):
        raise RuntimeError("at its end")

def fail():
    raise RuntimeError("in a thread")

logs.configure("INFO", "json")
logs.tell_of_crashes()
Stubborn()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("in the end")
"""


def test_what_nobody_caught_is_an_event() -> None:
    ended = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False, cwd=ROOT)
    told = in_json(ended.stdout.splitlines())
    assert (1, "", {("process.crashed", "critical")}) == (
        ended.returncode, ended.stderr, {(event["event"], event["level"]) for event in told},
    )  # fmt: skip
    for event, place in zip(told, ("at its end", "in a thread", "in the end"), strict=True):
        assert f"RuntimeError: {place}" in event["exception"]
