"""Log events: each with its level and fields, one wide line a request, and nothing in them that is nobody's business."""

import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from proxy.telemetry.line_writer import LineWriter
from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import PATH, WEATHER_TOOL, ask, body, frames, stream
from tests.support.collector import Collector
from tests.support.processes import CREDENTIALS, ROOT, Proxy, StandIn
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
        {"model", "upstream", "status", "end_reason", "duration_ms", "code", "source"},
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


@dataclass(frozen=True, slots=True)
class Life:
    """All that a proxy wrote in a long life, the folder it lived in, and what it had counted before its end."""

    lines: list[str]
    folder: Path
    counted: list[Sample]

    def count(self, name: str, **labels: str) -> float:
        return sum(it.value for it in self.counted if it.name == name and labels.items() <= it.labels.items())


@pytest.fixture(scope="module")
def broad(
    form: str, stand_in: StandIn, provider: Provider, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Life:
    folder = tmp_path_factory.mktemp(form)
    (folder / "config.yaml").write_text(CONFIG.format(base=provider.base_url))
    proxy = Proxy(env=env_of(stand_in, collector.url) | SOON | {"LOG_FORMAT": form}, cwd=folder)
    try:
        live_through(proxy, stand_in, provider, form)
        proxy.wait_for(f"request.finished.*{form}-left|{form}-left.*request.finished")
        families = text_string_to_metric_families(proxy.client.get("/metrics").text)
        counted = [sample for family in families for sample in family.samples]
    finally:
        assert 0 == proxy.stop()
    return Life(proxy.lines, folder, counted)


def test_every_event_has_its_level_and_its_fields(form: str, broad: Life) -> None:
    lines = broad.lines
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
def test_every_line_is_json_and_carries_its_request(broad: Life) -> None:
    assert all({"event", "level", "timestamp"} <= event.keys() for event in in_json(broad.lines))
    for event in requests_of(broad.lines):
        if event["event"] not in OUTSIDE:
            assert "request_id" in event, event
        if event["event"] in ("request.finished", "sse.connected", "upstream.failed", "tool_call.detected"):
            assert event.get("correlation_id") or event["code"] in ("correlation_id_missing", "correlation_id_invalid")


@IN_JSON
def test_one_wide_line_a_request(broad: Life) -> None:
    finished = [event for event in in_json(broad.lines) if event["event"] == "request.finished"]
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


@IN_JSON
def test_what_was_refused_is_told_as_a_warning_what_failed_as_an_error(broad: Life) -> None:
    told = {
        (event["event"], event["correlation_id"].removeprefix("json-"))
        for event in in_json(broad.lines)
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


@IN_JSON
def test_the_numbers_are_those_of_the_lines(broad: Life) -> None:
    """What was counted is exact when requests are over, whatever became of them."""
    events = in_json(broad.lines)
    told = Counter(event["event"] for event in events)
    finished = [event for event in events if event["event"] == "request.finished"]
    answers = [line for line in finished if "chunks" in line]

    def summed(field: str) -> float:
        return sum(line[field] or 0 for line in answers)

    def spread(name: str, label: str) -> dict[str, float]:
        values = {sample.labels[label] for sample in broad.counted if sample.name == name}
        return {value: count for value in values if (count := broad.count(name, **{label: value}))}

    with_status = Counter(str(line["status"]) for line in finished if line["status"] != 405)
    assert with_status == {
        value: broad.count("proxy_requests_total", route=PATH, status=value) for value in with_status
    }
    assert spread("proxy_failed_requests_total", "source") == Counter(
        line["source"] for line in finished if line["source"]
    )
    assert spread("proxy_stream_ends_total", "reason") == Counter(
        line["end_reason"] for line in answers if line["end_reason"] != "rejected"
    )
    chunks = "proxy_stream_chunks_total"
    assert {"upstream": summed("events"), "downstream": summed("chunks")} == spread(chunks, "direction")
    for kind in ("prompt", "completion"):
        assert summed(f"{kind}_tokens") == broad.count("proxy_tokens_total", type=kind)
    assert summed("bytes") == broad.count("proxy_response_size_bytes_sum")
    calls = spread("proxy_tool_calls_total", "outcome")
    assert {"parsed", "repaired", "rescued", "invalid"} == calls.keys()
    assert summed("tool_calls") == calls["parsed"] + calls["repaired"] + calls["rescued"]
    seconds = "proxy_request_duration_seconds"
    assert sum(line["stream"] for line in answers) == broad.count(f"{seconds}_count", stream="true")
    assert summed("duration_ms") == pytest.approx(1000 * broad.count(f"{seconds}_sum"), abs=1)
    first_token = "proxy_time_to_first_token_seconds"
    assert sum(line["ttft_ms"] is not None for line in answers) == broad.count(f"{first_token}_count")
    assert summed("ttft_ms") == pytest.approx(1000 * broad.count(f"{first_token}_sum"), abs=1)
    assert sum(line["rounds"] > 0 for line in answers) == broad.count("proxy_overhead_seconds_count")
    for outcome in ("succeeded", "failed"):
        assert told[f"auth.{outcome}"] == broad.count("proxy_jwt_fetch_seconds_count", outcome=outcome)
    retried, fell_back = (broad.count("proxy_retries_total", kind=kind) for kind in ("retry", "fallback"))
    assert (told["upstream.retried"], told["upstream.fell_back"]) == (retried, fell_back)
    assert told["upstream.failed"] + retried + fell_back == broad.count("proxy_upstream_errors_total")
    rejected = Counter(line["code"] for line in finished)
    for reason in ("missing", "invalid"):
        assert rejected[f"correlation_id_{reason}"] == broad.count("proxy_correlation_rejections_total", reason=reason)
    assert 0 == broad.count("proxy_streams_in_flight")


def test_no_access_line_beside_it(broad: Life) -> None:
    assert not [line for line in broad.lines if "HTTP/1.1" in line], "one of aiohttp's"


def test_no_secret_and_no_text_is_told(broad: Life) -> None:
    """Not in the output, nor in what is written beside it."""
    lines, folder = broad.lines, broad.folder
    for line in lines:
        assert PLANTED not in line
        assert "eyJ" not in line, "a token"
        assert "old river" not in line
        assert "as they all do" not in line
    written = [path for sub in ("runs", "captured") for path in (folder / sub).rglob("*.json*")]
    assert 10 < len(written)
    for path in written:
        assert PLANTED not in path.read_text()


def test_no_secret_and_no_text_is_traced(form: str, broad: Life, collector: Collector) -> None:
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


@pytest.mark.parametrize("place", ["a full disk", "nobody who reads"])
def test_where_lines_cannot_be_written_requests_are_answered(tmp_path: Path, stand_in: StandIn, place: str) -> None:
    (tmp_path / "config.yaml").write_text(STACKSPOT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = (-1, os.open("/dev/full", os.O_WRONLY)) if place == "a full disk" else os.pipe()
    env = CREDENTIALS | stand_in.env | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "proxy"]
    process = subprocess.Popen(
        command,
        env=env | {"PROXY_PORT": str(port), "LOG_FORMAT": "json"},
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=7)) as client:
            if reading >= 0:
                assert 200 == client.get("/health").status_code
                os.close(reading)
            for model, status in (("chat", 200), ("none", 404)):
                reply = client.post(PATH, headers={"correlation-id": "unwritten"}, json=body(model=model))
                assert status == reply.status_code
        process.terminate()
        assert (0, b"") == (process.wait(10), process.communicate()[1])
    finally:
        process.kill()


def test_a_torn_line_stays_apart_from_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("wb") as file:
        writer = LineWriter(file.fileno())
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
        try:
            lost = [writer.write(lines) for lines in (b"whole\n", b"torn in the middle\n", b"lost\nand lost\n")]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        lost.append(writer.write(b"next\n"))
    assert ("whole\ntorn\nnext\n", [0, 1, 2, 0]) == (path.read_text(), lost)


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
