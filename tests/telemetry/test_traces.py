"""Traces, as a real OTLP receiver gets them: who asked whom, what it cost, and what went wrong."""

from typing import Any

import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, WEATHER_TOOL, ask, body, frames, stream
from tests.support.collector import Collector
from tests.support.processes import Proxy, StandIn
from tests.support.provider.process import Provider
from tests.telemetry.conftest import SOON

pytestmark = pytest.mark.slow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
BROKEN = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the "old" town"}\nFUNCTION_CALL_END'
MENDED = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END'


def of_request(collector: Collector, correlation_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The server span, and the client spans in order."""
    spans = collector.wait_for_server_span(correlation_id)
    (server,) = [span for span in spans if span["kind"] == "SPAN_KIND_SERVER"]
    clients = [span for span in spans if span["kind"] == "SPAN_KIND_CLIENT"]
    assert all((server["traceId"], server["spanId"]) == (span["traceId"], span["parentSpanId"]) for span in clients)
    return server, clients


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_server_span_with_a_client_span(
    traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str, streamed: bool
) -> None:
    stand_in.script(correlation_id, {"text": "All is well.", "tokens": {"input": 70, "output": 5}})
    if streamed:
        with stream(traced, correlation_id, model="agent") as reply:
            frames(reply)
    else:
        ask(traced, correlation_id, model="agent")
    server, (client,) = of_request(collector, correlation_id)
    line = traced.wait_event(event="request.finished", correlation_id=correlation_id)
    assert ("POST /v1/chat/completions", "chat agent") == (server["name"], client["name"])
    assert ("stackspot-proxy", line["trace_id"]) == (server["resource"]["service.name"], server["traceId"])
    assert {
        "http.request.method": "POST", "http.route": PATH, "http.response.status_code": 200,
        "session.id": correlation_id, "request_id": line["request_id"], "proxy.end_reason": "complete",
    }.items() <= server["attributes"].items()  # fmt: skip
    assert {
        "gen_ai.operation.name": "chat", "gen_ai.system": "stackspot", "gen_ai.request.model": "agent",
        "gen_ai.response.model": "agent", "gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["stop"], "langfuse.observation.type": "generation",
        "session.id": correlation_id, "correlation_id": correlation_id, "server.address": "127.0.0.1",
    }.items() <= client["attributes"].items()  # fmt: skip
    assert streamed == ("gen_ai.response.time_to_first_chunk" in client["attributes"])
    assert ("unset", "unset") == (server["code"], client["code"])
    assert not {"gen_ai.prompt", "gen_ai.completion"} & (server["attributes"].keys() | client["attributes"].keys())


def test_a_graph_leads_to_the_trace(launch: Launch, collector: Collector, correlation_id: str) -> None:
    proxy = launch(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | SOON)
    with stream(proxy, correlation_id) as reply:
        frames(reply)
    server, _ = of_request(collector, correlation_id)
    for name in ("proxy_request_duration_seconds_bucket", "proxy_overhead_seconds_bucket", "proxy_stream_ends_total"):
        assert [{"trace_id": server["traceId"]}] == proxy.exemplars(name)


def test_usage_stands_where_it_is_counted_once(traced: Proxy, collector: Collector, correlation_id: str) -> None:
    """Whoever adds up a trace's tokens must not count them twice."""
    ask(traced, correlation_id, model="agent")
    server, _ = of_request(collector, correlation_id)
    assert "span" == server["attributes"]["langfuse.observation.type"]
    assert not [name for name in server["attributes"] if name.startswith("gen_ai.usage")]


def test_the_model_that_really_answered(
    traced: Proxy, provider: Provider, collector: Collector, correlation_id: str
) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    provider.script(correlation_id, {"text": "All is well.", "usage": usage})
    with stream(traced, correlation_id, model="gpt") as reply:
        frames(reply)
    _, (client,) = of_request(collector, correlation_id)
    expected = ("openai", "gpt", "gpt-4-0613", 9, 3)
    names = ("system", "request.model", "response.model", "usage.input_tokens", "usage.output_tokens")
    assert expected == tuple(client["attributes"][f"gen_ai.{name}"] for name in names)


def test_context_comes_in_and_goes_out(
    traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str
) -> None:
    headers = {
        "correlation-id": correlation_id, "traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1",
    }  # fmt: skip
    assert 200 == traced.client.post(PATH, headers=headers, json=body(model="agent")).status_code
    server, (client,) = of_request(collector, correlation_id)
    (sent,) = stand_in.requests(correlation_id)
    assert (TRACE, PARENT) == (server["traceId"], server["parentSpanId"])
    assert f"00-{TRACE}-{client['spanId']}-01" == sent["headers"]["traceparent"]
    assert "vendor=1" == sent["headers"]["tracestate"]


def test_a_trace_that_nobody_keeps_is_not_sent(
    traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str
) -> None:
    headers = {"correlation-id": correlation_id, "traceparent": f"00-{TRACE}-{PARENT}-00"}
    traced.client.post(PATH, headers=headers, json=body(model="agent"))
    (sent,) = stand_in.requests(correlation_id)
    assert sent["headers"]["traceparent"].startswith(f"00-{TRACE}-")
    assert sent["headers"]["traceparent"].endswith("-00")
    ask(traced, f"{correlation_id}-later", model="agent")
    of_request(collector, f"{correlation_id}-later")
    assert [] == collector.spans(correlation_id)


@pytest.mark.parametrize("context", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"])
def test_a_context_that_makes_no_sense_begins_a_trace(
    traced: Proxy, collector: Collector, correlation_id: str, context: str
) -> None:
    headers = {"correlation-id": correlation_id, "traceparent": context}
    assert 200 == traced.client.post(PATH, headers=headers, json=body(model="agent")).status_code
    server, _ = of_request(collector, correlation_id)
    assert (32, "", False) == (len(server["traceId"]), server["parentSpanId"], server["traceId"] == TRACE)


SESSIONS: dict[str, tuple[dict[str, Any], str | None]] = {
    "in the metadata": ({"metadata": {"session_id": "s-1"}, "session_id": "s-2"}, "s-1"),
    "in the body": ({"session_id": "s-2", "user": "u"}, "s-2"),
    "nowhere": ({"user": "u"}, None),
}


@pytest.mark.parametrize(("fields", "session"), SESSIONS.values(), ids=SESSIONS)
def test_sessions(
    traced: Proxy, collector: Collector, correlation_id: str, fields: dict[str, Any], session: str | None
) -> None:
    ask(traced, correlation_id, model="agent", **fields)
    server, (client,) = of_request(collector, correlation_id)
    expected = session or correlation_id
    assert (expected, expected) == (server["attributes"]["session.id"], client["attributes"]["session.id"])


def test_every_try_is_a_span(traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"refuse": "server_error"}, {"text": "All is well."})
    assert 200 == ask(traced, correlation_id, model="agent").status_code
    server, tries = of_request(collector, correlation_id)
    assert ["STATUS_CODE_ERROR", "unset"] == [span["code"] for span in tries]
    assert "upstream_failed" == tries[0]["status"]["message"] == tries[0]["attributes"]["error.type"]
    assert "unset" == server["code"]
    ids = [request["headers"]["traceparent"].split("-")[2] for request in stand_in.requests(correlation_id)]
    assert [span["spanId"] for span in tries] == ids


def test_a_fallback_is_a_span(traced: Proxy, provider: Provider, collector: Collector, correlation_id: str) -> None:
    assert 200 == ask(traced, correlation_id, model="gone").status_code
    _, tries = of_request(collector, correlation_id)
    assert [("gone", "upstream_unreachable")] * 2 + [("gpt", None)] == [
        (span["attributes"]["gen_ai.request.model"], span["attributes"].get("error.type")) for span in tries
    ]


def test_a_repair_is_a_span_with_its_own_tokens(
    traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str
) -> None:
    counts = [{"input": 100, "output": 10}, {"input": 130, "output": 7}]
    answers = [{"text": text, "tokens": tokens} for text, tokens in zip((BROKEN, MENDED), counts, strict=True)]
    stand_in.script(correlation_id, *answers)
    assert 200 == ask(traced, correlation_id, model="agent", tools=[WEATHER_TOOL]).status_code
    _, rounds = of_request(collector, correlation_id)
    assert [(100, 10, "tool_call_parse_error"), (130, 7, None)] == [
        (
            span["attributes"]["gen_ai.usage.input_tokens"],
            span["attributes"]["gen_ai.usage.output_tokens"],
            span["attributes"].get("error.type"),
        )
        for span in rounds
    ]
    assert ["tool_calls"] == rounds[1]["attributes"]["gen_ai.response.finish_reasons"]


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "refused": ({"refuse": "forbidden", "repeat": True}, "upstream_forbidden"),
    "truncated": ({"deltas": ["One ", "two "], "cut": {"how": "clean", "after": 2}}, "upstream_truncated"),
    "broken off": ({"deltas": ["One ", "two "], "cut": {"how": "close", "after": 2}}, "upstream_truncated"),
    "an error inside": ({"deltas": ["One "], "error": {"form": "type", "after": 1}}, "upstream_stream_error"),
}


@pytest.mark.parametrize(("answer", "code"), FAILURES.values(), ids=FAILURES)
def test_failures_have_our_code(
    traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str, answer: dict[str, Any], code: str
) -> None:
    stand_in.script(correlation_id, answer)
    with stream(traced, correlation_id, model="agent") as reply:
        list(reply.iter_lines())
    server, (client,) = of_request(collector, correlation_id)
    for span in (server, client):
        assert ("STATUS_CODE_ERROR", code, code) == (
            span["code"], span["status"]["message"], span["attributes"]["error.type"],
        )  # fmt: skip


def test_a_caller_that_leaves(traced: Proxy, stand_in: StandIn, collector: Collector, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": "Hello", "pause": {"seconds": 30, "after": 1}})
    with stream(traced, correlation_id, model="agent") as reply:
        next(reply.iter_lines())
    server, (client,) = of_request(collector, correlation_id)
    assert ("client_disconnect", 499) == (
        server["attributes"]["proxy.end_reason"], server["attributes"]["http.response.status_code"],
    )  # fmt: skip
    for span in (server, client):
        assert ("unset", "client_disconnect") == (span["code"], span["attributes"]["error.type"])


def test_nonsense_of_a_caller_is_no_failure(traced: Proxy, collector: Collector, correlation_id: str) -> None:
    assert 404 == ask(traced, correlation_id, model="no-such-model").status_code
    server, clients = of_request(collector, correlation_id)
    assert ([], "unset", "model_not_found") == (clients, server["code"], server["attributes"]["error.type"])


def test_what_cuts_an_answer_off_is_named_in_its_spans(
    launch: Launch, stand_in: StandIn, collector: Collector, correlation_id: str
) -> None:
    """A time-out of the whole cancels the try: that learns of its reason all the same."""
    config = "model_list: [{model_name: agent, litellm_params: {model: stackspot/agent}}]\n"
    config += "proxy: {timeouts: {total: 0.5}}\n"
    proxy = launch(config, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | SOON)
    stand_in.script(correlation_id, {"text": "Hello", "pause": {"seconds": 30, "after": 1}})
    with stream(proxy, correlation_id, model="agent") as reply:
        frames(reply)
    server, (client,) = of_request(collector, correlation_id)
    assert ("total_timeout", "total_timeout") == (server["status"]["message"], client["status"]["message"])
    assert int(client["endTimeUnixNano"]) <= int(server["endTimeUnixNano"])


def test_probes_and_lists_are_not_traced(traced: Proxy, collector: Collector, correlation_id: str) -> None:
    for path in ("/health", "/metrics", "/v1/models"):
        traced.client.get(path, headers={"correlation-id": correlation_id})
    ask(traced, f"{correlation_id}-later", model="agent")
    of_request(collector, f"{correlation_id}-later")
    assert [] == collector.spans(correlation_id)


def test_texts_only_when_asked_for(
    launch: Launch, stand_in: StandIn, collector: Collector, correlation_id: str
) -> None:
    proxy = launch(env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "LOG_MESSAGES": "true"} | SOON)
    stand_in.script(correlation_id, {"text": "All is well."}, {"text": MENDED})
    ask(proxy, correlation_id, text="How are things?")
    _, (client,) = of_request(collector, correlation_id)
    assert '[{"role":"user","content":"How are things?"}]' == client["attributes"]["gen_ai.prompt"]
    assert "All is well." == client["attributes"]["gen_ai.completion"]
