"""Answers through a real proxy: whole and streamed, each way they can end, and what is left behind."""

import itertools
import json
import socket
import time
from typing import Any

import httpx
import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import ONCE, Launch
from tests.support.chat import PATH, WEATHER_TOOL, ask, body, finish_of, frames, stream, text_of
from tests.support.processes import CREDENTIALS, Proxy, StandIn

TEXT = "Olá, mundo! Tudo bem com você hoje?"


def test_stream(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": TEXT})
    with stream(proxy, correlation_id, stream_options={"include_usage": True}) as reply:
        found = frames(reply)
    assert "text/event-stream" in reply.headers["content-type"]
    assert ("no-cache", "no") == (reply.headers["cache-control"], reply.headers["x-accel-buffering"])
    assert correlation_id == reply.headers["correlation-id"]
    assert "stackspot/agent" == reply.headers["x-proxy-upstream-model"]
    assert {"role": "assistant", "content": ""} == found[0]["choices"][0]["delta"]
    assert (TEXT, "stop") == (text_of(found), finish_of(found))
    assert [] == found[-2]["choices"]
    assert found[-2]["usage"]["total_tokens"] > 0
    assert "[DONE]" == found[-1]


def test_whole(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": TEXT})
    reply = ask(proxy, correlation_id)
    assert TEXT == reply.json()["choices"][0]["message"]["content"]
    assert "x-proxy-usage" not in reply.headers


def test_estimated_usage_is_marked(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": TEXT, "tokens": "none"})
    reply = ask(proxy, correlation_id)
    assert "estimated" == reply.headers["x-proxy-usage"]
    assert -(-len(TEXT) // 4) == reply.json()["usage"]["completion_tokens"]


WIRES: dict[str, dict[str, Any]] = {
    "full deltas": {"shape": "full"},
    "OpenAI's shape": {"shape": "openai"},
    "null stop_reason": {"null_stop_reason": True},
    "empty deltas round it": {"leading_empty": 3, "trailing_empty": 3},
    "user and enrichment": {"tokens": "user"},
    "CR LF": {"line_end": "crlf"},
    "[DONE]": {"done": True},
    "comments, ids, a BOM": {"comments": True, "ids": True, "bom": True},
    "cut at every byte": {"split": 1},
    "cut at every third": {"split": 3, "shape": "full"},
    "text in the end": {"final_text": " Bye."},
    "the server lingers": {"linger_s": 2},
}


@pytest.mark.parametrize("case", WIRES)
def test_every_form_of_the_wire(proxy: Proxy, stand_in: StandIn, correlation_id: str, case: str) -> None:
    answer = {"text": TEXT} | WIRES[case]
    stand_in.script(correlation_id, answer, answer)
    expected = TEXT + WIRES[case].get("final_text", "")
    started = time.monotonic()
    with stream(proxy, correlation_id) as reply:
        found = frames(reply)
    assert (expected, "stop", "[DONE]") == (text_of(found), finish_of(found), found[-1])
    assert expected == ask(proxy, correlation_id).json()["choices"][0]["message"]["content"]
    assert 2 > time.monotonic() - started


# What the simulator does, and: the text streamed before, the code.
FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no final event": ({"cut": {"how": "clean", "after": 2}}, "abcd", "upstream_truncated"),
    "no final event at all": ({"final": False}, "abcdef", "upstream_truncated"),
    "the connection closes": ({"cut": {"how": "close", "after": 2}}, "abcd", "upstream_truncated"),
    "a reset": ({"cut": {"how": "reset", "after": 2}}, "abcd", "upstream_truncated"),
    "half an event": ({"cut": {"how": "half_event", "after": 2}}, "abcd", "upstream_truncated"),
    "half a character": ({"cut": {"how": "half_utf8", "after": 2}}, "abcd", "upstream_truncated"),
    "an error event": ({"error": {"form": "type", "after": 2}}, "abcd", "upstream_stream_error"),
    "an event named error": ({"error": {"form": "event", "after": 2}}, "abcd", "upstream_stream_error"),
    "an error object": ({"error": {"form": "object", "after": 2}}, "abcd", "upstream_stream_error"),
}


@pytest.mark.parametrize("interval", [0, 0.01], ids=["at once", "apart"])
@pytest.mark.parametrize("case", FAULTS)
def test_faults_in_a_stream(proxy: Proxy, stand_in: StandIn, correlation_id: str, case: str, interval: float) -> None:
    """What came is delivered; then an error, and never a [DONE] or a finish."""
    fault, text, code = FAULTS[case]
    stand_in.script(correlation_id, {"deltas": ["ab", "cd", "ef"], "interval_s": interval} | fault)
    with stream(proxy, correlation_id) as reply:
        found = frames(reply)
    assert 200 == reply.status_code
    assert (text, None, code) == (text_of(found), finish_of(found), found[-1]["error"]["code"])
    assert 1 == len(stand_in.requests(correlation_id))


@pytest.mark.parametrize("case", FAULTS)
def test_faults_in_a_whole_answer(proxy: Proxy, stand_in: StandIn, correlation_id: str, case: str) -> None:
    fault, _, code = FAULTS[case]
    stand_in.script(correlation_id, {"deltas": ["ab", "cd", "ef"]} | fault)
    reply = ask(proxy, correlation_id)
    assert (502, code) == (reply.status_code, reply.json()["error"]["code"])
    assert 1 == len(stand_in.requests(correlation_id))


REFUSALS: dict[str, tuple[dict[str, Any], int, str, bool]] = {
    "credit": ({"refuse": "credit"}, 429, "insufficient_quota", False),
    "forbidden": ({"refuse": "forbidden", "repeat": True}, 502, "upstream_forbidden", False),
    "no such agent": ({"refuse": "not_found"}, 502, "upstream_not_found", False),
    "500": ({"refuse": "server_error"}, 502, "upstream_failed", True),
    "502 in plain text": ({"refuse": "bad_gateway"}, 502, "upstream_failed", True),
    "503": ({"refuse": "unavailable"}, 502, "upstream_failed", True),
    "dropped before the status": (
        {"cut": {"how": "close", "headers": False}, "repeat": True},
        502,
        "upstream_disconnected",
        True,
    ),
    "a redirect": ({"status": 302, "headers": {"location": "/elsewhere"}}, 502, "upstream_rejected", False),
    "an error before any text": ({"error": {"form": "type", "after": 0}}, 502, "upstream_stream_error", True),
}


MAYBE_TWICE = {"forbidden", "dropped before the status"}
"""Sent once more with a new login if there was none for 30 s; on a new connection if the first was a reused one."""


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_failure_before_the_first_byte_has_its_real_status(
    proxy: Proxy, stand_in: StandIn, correlation_id: str, case: str, streamed: bool
) -> None:
    answer, status, code, again = REFUSALS[case]
    stand_in.script(correlation_id, answer)
    reply = ask(proxy, correlation_id, stream=streamed)
    assert (status, code) == (reply.status_code, reply.json()["error"]["code"])
    assert again is ("x-should-retry" not in reply.headers)
    assert "retry-after" not in reply.headers
    assert "01JZ4M7Q2X9WB3TKD5R8VHNC6E" not in reply.text
    again = case in MAYBE_TWICE
    assert len(stand_in.requests(correlation_id)) in ((1, 2) if again else (1,))


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_prompt_that_is_too_long_is_shrunk_once(
    proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool
) -> None:
    messages = [{"role": "user", "content": f"{number} " + "x" * 2000} for number in range(50)]
    stand_in.script(correlation_id, {"refuse": "context_length"}, {"text": "Fine."})
    reply = ask(proxy, correlation_id, messages=messages, stream=streamed)
    assert "Fine." in reply.text
    first, second = [sent["body"]["user_prompt"] for sent in stand_in.requests(correlation_id)]
    assert 0.5 * len(first) < len(second) < 0.8 * len(first)
    assert "oldest messages are left out" in second
    assert messages[-1]["content"] in second
    stand_in.script(correlation_id, {"refuse": "context_length", "repeat": True})
    reply = ask(proxy, correlation_id, messages=messages, stream=streamed)
    assert (400, "context_length_exceeded") == (reply.status_code, reply.json()["error"]["code"])
    assert 4 == len(stand_in.requests(correlation_id))


def test_tokens_come_one_by_one(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"deltas": list("abcdef"), "interval_s": 0.1})
    with stream(proxy, correlation_id) as reply:
        words = (line for line in reply.iter_lines() if '"content":"' in line and '"content":""' not in line)
        arrived = [time.monotonic() for _ in words]
    assert 6 == len(arrived)
    assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(arrived))


def test_tool_calls(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    call = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "%s"}\nFUNCTION_CALL_END\n'
    answer = {"text": call % "São Paulo" + call % "Oslo", "delta_chars": 3}
    stand_in.script(correlation_id, answer, answer)
    with stream(proxy, correlation_id, tools=[WEATHER_TOOL]) as reply:
        found = frames(reply)
    pieces = [c for frame in found[:-1] for c in frame["choices"][0]["delta"].get("tool_calls", [])]
    assert ['{"city": "São Paulo"}', '{"city": "Oslo"}'] == [
        "".join(piece["function"]["arguments"] for piece in pieces if piece["index"] == index) for index in (0, 1)
    ]
    assert "tool_calls" == finish_of(found)
    message = ask(proxy, correlation_id, tools=[WEATHER_TOOL]).json()["choices"][0]["message"]
    assert message["content"] is None
    assert ["get_weather"] * 2 == [c["function"]["name"] for c in message["tool_calls"]]
    detected = proxy.wait_event(event="tool_call.detected", correlation_id=correlation_id)
    assert ("get_weather", "info") == (detected["name"], detected["level"])


def test_a_broken_call_is_repaired_out_of_sight(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    call = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": %s}\nFUNCTION_CALL_END\n'
    stand_in.script(correlation_id, {"text": call % '"the "old" town"'}, {"text": call % '"Rome"'})
    message = ask(proxy, correlation_id, tools=[WEATHER_TOOL]).json()["choices"][0]["message"]
    assert ['{"city": "Rome"}'] == [c["function"]["arguments"] for c in message["tool_calls"]]
    first, second = [sent["body"]["user_prompt"] for sent in stand_in.requests(correlation_id)]
    assert 'the "old" town' not in first
    assert 'the "old" town' in second


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("moment", ["before_status_s", "before_events_s", "between"])
def test_a_caller_that_leaves_takes_the_upstream_along(
    proxy: Proxy, stand_in: StandIn, correlation_id: str, streamed: bool, moment: str
) -> None:
    silence = {"pause": {"seconds": 30, "after": 1}} if moment == "between" else {moment: 30}
    stand_in.script(correlation_id, {"text": TEXT} | silence)
    headers = {"correlation-id": correlation_id}
    with httpx.Client(base_url=proxy.url, timeout=0.4, headers=headers) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(PATH, json=body(stream=streamed))
    left = time.monotonic()
    while stand_in.requests(correlation_id)[0]["end"] != "client_closed":
        assert 1 > time.monotonic() - left
        time.sleep(0.02)
    line = proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    assert (499, "client_disconnect") == (line["status"], line["end_reason"])
    assert [] == [
        event for event in proxy.events(correlation_id=correlation_id) if event["level"] in ("warning", "error")
    ]
    assert 0 == proxy.metric("proxy_streams_in_flight")


QUICK = "proxy:\n  timeouts: {{{timeouts}}}\n  keepalive_s: 0.3\n  commit_after: {commit}\n"


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    {
        "nothing": ({"before_status_s": 30}, "first_token_timeout", 504),
        "headers and nothing": ({"before_events_s": 30}, "first_token_timeout", 504),
        "endless empty deltas": ({"deltas": [], "endless_empty": True, "interval_s": 0.01}, "first_token_timeout", 504),
        "silence in the middle": ({"text": TEXT, "pause": {"seconds": 30, "after": 2}}, "idle_timeout", 200),
        "an answer without end": ({"deltas": ["x"] * 500, "interval_s": 0.02}, "total_timeout", 200),
    }.values(),
)
def test_time_outs(
    launch: Launch, stand_in: StandIn, correlation_id: str, answer: dict[str, Any], code: str, status: int
) -> None:
    proxy = launch(STACKSPOT + QUICK.format(timeouts="first_token: 0.5, idle: 0.7, total: 2", commit=45))
    stand_in.script(correlation_id, answer, answer)
    with stream(proxy, correlation_id, model="chat") as reply:
        found = frames(reply) if status == 200 else [reply.read() and reply.json()]
    assert (status, code) == (reply.status_code, found[-1]["error"]["code"])
    whole = ask(proxy, correlation_id, model="chat")
    assert (504, code) == (whole.status_code, whole.json()["error"]["code"])
    assert 2 == proxy.metric("proxy_stream_ends_total", model="chat", reason=code)
    assert ["client_closed"] * 2 == [sent["end"] for sent in stand_in.requests(correlation_id)]
    assert 0 == proxy.metric("proxy_streams_in_flight")


def test_keepalives_and_the_late_commit(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    """Headers wait for the first byte, but not for ever; from then on silence is filled with comments."""
    proxy = launch(STACKSPOT + QUICK.format(timeouts="", commit=0.3))
    stand_in.script(correlation_id, {"text": TEXT, "before_events_s": 3, "pause": {"seconds": 2, "after": 2}})
    started = time.monotonic()
    with stream(proxy, correlation_id, model="chat") as reply:
        assert 1 > time.monotonic() - started
        lines = list(reply.iter_lines())
    first = next(at for at, line in enumerate(lines) if line.startswith("data:"))
    assert lines[:first].count(": keepalive") >= 2
    assert lines[first:].count(": keepalive") >= 1
    assert "data: [DONE]" == [line for line in lines if line][-1]


def test_a_failure_behind_the_late_commit_is_an_error_event(
    launch: Launch, stand_in: StandIn, correlation_id: str
) -> None:
    proxy = launch(STACKSPOT + QUICK.format(timeouts="", commit=0.3) + ONCE)
    stand_in.script(correlation_id, {"refuse": "server_error", "before_status_s": 1})
    with stream(proxy, correlation_id, model="chat") as reply:
        found = frames(reply)
    assert (200, ["upstream_failed"]) == (reply.status_code, [frame["error"]["code"] for frame in found])


def test_too_many_streams(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "proxy: {limits: {max_streams: 1}}\n")
    stand_in.script(correlation_id, {"text": TEXT, "pause": {"seconds": 1, "after": 1}})
    with stream(proxy, correlation_id, model="chat") as reply:
        refused = ask(proxy, "other", model="chat")
        assert (429, "1") == (refused.status_code, refused.headers["retry-after"])
        assert TEXT == text_of(frames(reply))


def test_the_log_and_the_metrics_tell_the_story(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch()
    stand_in.script(correlation_id, {"deltas": ["ab", "cd"], "interval_s": 0.02})
    with stream(proxy, correlation_id, model="stackspot") as reply:
        frames(reply)
    line = proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    assert {
        "model": "stackspot-ai-chat", "upstream": "stackspot/agent", "status": 200, "end_reason": "complete",
        "chunks": 4, "tool_calls": 0, "rounds": 1, "level": "info", "request_id": reply.headers["x-request-id"],
    }.items() <= line.items()  # fmt: skip
    assert 0 < line["ttft_ms"] < line["duration_ms"]
    names = [event["event"] for event in proxy.events()]
    for name in ("config.loaded", "auth.succeeded", "sse.connected", "sse.closed", "stream.chunks"):
        assert 1 == names.count(name)
    assert 1 == proxy.metric(
        "proxy_requests_total", route="/v1/chat/completions", model="stackspot-ai-chat", status="200"
    )
    assert 3 == proxy.metric("proxy_stream_chunks_total", direction="upstream")
    assert 4 == proxy.metric("proxy_stream_chunks_total", direction="downstream")
    assert 1 == proxy.metric("proxy_jwt_fetch_seconds_count", outcome="succeeded")
    assert 1 == proxy.metric("proxy_stream_ends_total", reason="complete")
    assert 1 == proxy.metric("proxy_time_to_first_token_seconds_count")
    assert 1 == proxy.metric("proxy_overhead_seconds_count")
    assert CREDENTIALS["CLIENT_SECRET"] not in proxy.output


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_caller_that_does_not_read_is_cut_off(
    launch: Launch, stand_in: StandIn, correlation_id: str, streamed: bool
) -> None:
    proxy = launch(STACKSPOT + "proxy: {timeouts: {write_stall: 1}}\n")
    stand_in.script(correlation_id, {"deltas": ["x" * 100_000] * 100, "interval_s": 0})
    host, port = proxy.url.removeprefix("http://").split(":")
    sent = json.dumps(body(model="chat", stream=streamed)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\ncorrelation-id: {correlation_id}\r\ncontent-length: {len(sent)}\r\n\r\n"
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect((host, int(port)))
        caller.sendall(head.encode() + sent)
        line = proxy.wait_event(event="request.finished", correlation_id=correlation_id, seconds=10)
    assert ("write_stall", 499) == (line["end_reason"], line["status"])
    assert 0 == proxy.metric("proxy_streams_in_flight")
    assert "Traceback" not in proxy.output
