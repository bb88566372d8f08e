"""What /metrics says: the right numbers, while streams run and behind them, under labels that nobody can add to."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from tests.conftest import Launch
from tests.support.chat import PATH, WEATHER_TOOL, ask, frames, stream
from tests.support.processes import Proxy, StandIn
from tests.support.provider.process import Provider

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - model_name: chat
    litellm_params: {{model: stackspot/agent}}
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: k}}
router_settings: {{num_retries: 0, fallbacks: [{{chat: [gpt]}}]}}
proxy: {{commit_after: 0.3, timeouts: {{request_body: 0.3}}{more}}}
"""
ALONE = CONFIG.replace(", fallbacks: [{{chat: [gpt]}}]", "")
NOBODY = "http://127.0.0.1:9/v1"
CHUNKS = "proxy_stream_chunks_total"
OPEN_METRICS = {"accept": "application/openmetrics-text"}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    process = Provider(tmp_path)
    yield process
    process.stop()


def counted(proxy: Proxy, name: str, **labels: str) -> float:
    """A value at the end of a request: the proxy counts when it is over, which the caller may know before."""
    deadline = time.monotonic() + 2
    while not (value := proxy.metric(name, **labels)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def series(proxy: Proxy) -> set[str]:
    lines = proxy.client.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_chunks_are_counted_while_they_come(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    stand_in.script(correlation_id, {"deltas": ["word "] * 40, "interval_s": 0.05})
    halfway, under_way, received = [], 0.0, 0
    with stream(proxy, correlation_id, model="chat") as reply:
        for number, line in enumerate(reply.iter_lines()):
            if number == 50:
                under_way = proxy.metric("proxy_streams_in_flight")
                halfway = [proxy.metric(CHUNKS, model="chat", direction=way) for way in ("upstream", "downstream")]
            if line == "data: [DONE]":
                break
            received += line.startswith("data: ")
    assert all(5 < count < 40 for count in halfway), halfway
    assert 1 == under_way
    finished = proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    ends = [proxy.metric(CHUNKS, model="chat", direction=way) for way in ("upstream", "downstream")]
    assert [41, received] == ends == [finished["events"], finished["chunks"]], "40 and a final one"


def test_chunks_belong_to_the_model_that_answered(
    launch: Launch, stand_in: StandIn, provider: Provider, correlation_id: str
) -> None:
    proxy = launch(CONFIG.format(base=provider.base_url, more=""))
    stand_in.script(correlation_id, {"refuse": "unavailable"})
    provider.script(correlation_id, {"deltas": ["a", "b"]})
    assert 200 == ask(proxy, correlation_id, model="chat").status_code
    assert 1 == counted(proxy, CHUNKS, model="gpt", direction="downstream")
    assert 0 == proxy.metric(CHUNKS, model="chat")
    assert 1 == proxy.metric("proxy_retries_total", model="chat", kind="fallback")
    assert 1 == proxy.metric("proxy_upstream_errors_total", upstream="stackspot", kind="upstream_failed")
    assert 0 == proxy.metric("proxy_failed_requests_total"), "in the end it did not fail"
    assert 1 == proxy.metric("gen_ai_client_operation_duration_seconds_count", gen_ai_system="openai")


@pytest.mark.parametrize(
    ("answer", "fields", "source"),
    {
        "a model that is not there": ({}, {"model": "nope"}, "caller"),
        "a prompt that is too long": ({"refuse": "context_length", "repeat": True}, {}, "caller"),
        "a server error": ({"refuse": "server_error"}, {}, "upstream"),
        "half an answer": ({"text": "One two three", "cut": {"how": "close", "after": 1}}, {}, "upstream"),
        "the account's credit": ({"refuse": "credit"}, {}, "quota"),
        "the account's rate": ({"refuse": "rate_limited"}, {}, "quota"),
    }.values(),
)
def test_whose_fault_it_is(
    launch: Launch, stand_in: StandIn, correlation_id: str, answer: Any, fields: Any, source: str
) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    stand_in.script(correlation_id, answer)
    assert ask(proxy, correlation_id, **{"model": "chat"} | fields).is_error
    assert 1 == counted(proxy, "proxy_failed_requests_total", source=source)
    assert 1 == proxy.metric("proxy_failed_requests_total")


def test_a_full_proxy_is_the_proxys_fault(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=", limits: {max_streams: 1}"))
    stand_in.script(correlation_id, {"text": "One two three", "pause": {"seconds": 1, "after": 1}})
    with stream(proxy, correlation_id, model="chat") as reply:
        assert 429 == ask(proxy, "other", model="chat").status_code
        assert 1 == counted(proxy, "proxy_failed_requests_total", source="proxy")
        frames(reply)
    assert 1 == counted(proxy, "proxy_stream_ends_total"), "the one that was refused never began"


def test_a_full_quota_is_refused_and_counted(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=", quota: {requests_per_minute: 1, queue_timeout: 0.5}"))
    assert [200, 429] == [ask(proxy, correlation_id, model="chat").status_code for _ in range(2)]
    assert 1 == counted(proxy, "proxy_failed_requests_total", source="quota")
    assert [1, 1] == [proxy.metric(f"proxy_quota_{name}") for name in ("refusals_total", "wait_seconds_count")]
    assert 0 == proxy.metric("proxy_upstream_errors_total")


def test_a_body_that_never_comes(launch: Launch) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    host, port = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\ncorrelation-id: a\r\ncontent-length: 9\r\n\r\n{{".encode())
        assert b" 408 " in raw.recv(1000).split(b"\r\n")[0]
    assert 1 == counted(proxy, "proxy_stream_ends_total", model="other", reason="request_timeout")
    assert 1 == proxy.metric("proxy_stream_ends_total")


def test_an_error_is_no_first_token(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    stand_in.script(correlation_id, {"refuse": "server_error", "before_status_s": 0.8})
    with stream(proxy, correlation_id, model="chat") as reply:
        assert "error" in frames(reply)[0]
    assert 1 == counted(proxy, "proxy_request_duration_seconds_count", stream="true")
    assert 0 == proxy.metric("proxy_time_to_first_token_seconds_count")


def test_names_that_ready_made_dashboards_know(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    with stream(proxy, correlation_id, model="chat") as reply:
        frames(reply)
    gen_ai = {"gen_ai_operation_name": "chat", "gen_ai_system": "stackspot", "gen_ai_request_model": "chat"}
    assert 1 == counted(proxy, "gen_ai_client_operation_duration_seconds_count", **gen_ai)
    assert 1 == proxy.metric("gen_ai_server_time_to_first_token_seconds_count", **gen_ai)
    for kind, ours in (("input", "prompt"), ("output", "completion")):
        tokens = proxy.metric("proxy_tokens_total", type=ours)
        assert 0 < tokens == proxy.metric("gen_ai_client_token_usage_sum", **gen_ai, gen_ai_token_type=kind)


def test_what_the_proxy_itself_added(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    """Its own work: neither the login, nor the quota's queue, nor the upstream, and once a request."""
    quota = ", quota: {requests_per_minute: 60, max_concurrent: 1}"
    proxy = launch(ALONE.format(base=NOBODY, more=quota).replace("num_retries: 0", "num_retries: 1"))
    slow = {"text": "One two", "before_status_s": 0.7}
    stand_in.script(correlation_id, {"refuse": "unavailable"}, slow, slow)
    stand_in.settings(login_delay_s=0.7)
    try:
        with ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda _: ask(proxy, correlation_id, model="chat"), range(2)))
    finally:
        stand_in.settings(login_delay_s=0.0)
    assert [200, 200] == [reply.status_code for reply in replies]
    name = "proxy_overhead_seconds"
    assert (2, 3) == (counted(proxy, f"{name}_count"), len(stand_in.requests(correlation_id)))
    added = proxy.metric(f"{name}_sum")
    assert 0 < added < 0.5, "each waited for 0.7 s and more"
    ask(proxy, f"{correlation_id}-large", model="chat", text="word " * 1_500_000)
    assert proxy.metric(f"{name}_sum") - added > 0.002, "reading megabytes is work"


@pytest.mark.parametrize(
    ("metric", "count", "first", "last"),
    [
        ("proxy_request_duration_seconds", 16, 0.01, 327.68),
        ("proxy_time_to_first_token_seconds", 20, 0.001, 160),
        ("proxy_overhead_seconds", 12, 5e-5, 0.5),
        ("gen_ai_client_token_usage", 14, 1, 4**13),
    ],
)
def test_buckets(proxy: Proxy, metric: str, count: int, first: float, last: float) -> None:
    with stream(proxy, "buckets") as reply:
        frames(reply)
    counted(proxy, f"{metric}_count")
    text = proxy.client.get("/metrics", headers=OPEN_METRICS).text
    found = {
        float(sample.labels["le"])
        for family in open_metrics(text)
        for sample in family.samples
        if sample.name == f"{metric}_bucket"
    }
    assert (count, first, last) == (len(found) - 1, min(found), max(found - {float("inf")}))


@pytest.mark.parametrize(
    ("sent", "kind"),
    {"short": ("c-1", "correlation_id"), "too long for an exemplar": ("c" * 128, "request_id")}.values(),
)
def test_exemplars_lead_to_the_request(launch: Launch, sent: str, kind: str) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    with stream(proxy, sent, model="chat") as reply:
        frames(reply)
    counted(proxy, "proxy_stream_ends_total")
    wanted = [{kind: sent if kind == "correlation_id" else reply.headers["x-request-id"]}]
    for name in ("proxy_request_duration_seconds", "proxy_time_to_first_token_seconds", "proxy_overhead_seconds"):
        assert wanted == proxy.exemplars(f"{name}_bucket")
    assert wanted == proxy.exemplars("proxy_stream_ends_total")


def test_failures_stand_at_zero_before_the_first(launch: Launch) -> None:
    """Else the first would be no change, and no rate would show it."""
    text = launch(ALONE.format(base=NOBODY, more="")).client.get("/metrics").text
    for line in (
        'proxy_failed_requests_total{model="chat",source="upstream"} 0.0',
        'proxy_stream_ends_total{model="gpt",reason="upstream_truncated"} 0.0',
        'proxy_upstream_errors_total{kind="upstream_failed",upstream="openai"} 0.0',
        'proxy_jwt_fetch_seconds_count{outcome="failed"} 0.0',
    ):
        assert line in text.splitlines()
    assert "proxy_shared_state_up" not in text, "no Redis is configured, so none can be lost"


def test_the_event_loops_lag_is_measured(launch: Launch) -> None:
    proxy = launch(ALONE.format(base=NOBODY, more=""))
    assert counted(proxy, "proxy_event_loop_lag_seconds_count") >= 1


def test_a_day_of_junk_adds_no_series(launch: Launch, provider: Provider, correlation_id: str) -> None:
    """Names of models, tools and routes, ids, methods, and what a provider calls its errors."""
    proxy = launch(ALONE.format(base=provider.base_url, more=""))

    def junk(number: int) -> None:
        made_up = f"{correlation_id}-{number}"
        ask(proxy, made_up, model=f"junk-{number}", user=made_up, metadata={"session_id": made_up})
        tool = json.loads(json.dumps(WEATHER_TOOL).replace("get_weather", f"tool_{number}"))
        ask(proxy, made_up, model="chat", tools=[tool])
        error = {"message": made_up, "type": made_up, "param": made_up, "code": made_up}
        provider.script(made_up, {"status": 400, "body": {"error": error}})
        assert 400 == ask(proxy, made_up, model="gpt").status_code
        proxy.client.post(PATH, headers={"correlation-id": f"junk {number}"})
        proxy.client.request(f"JUNK{number}", PATH)
        proxy.client.get(f"/junk/{number}")
        proxy.client.get(f"/v1/models/junk-{number}")

    junk(0)
    junk(1)
    series(proxy)  # a scrape counts as well
    before = series(proxy)
    for number in range(2, 20):
        junk(number)
    assert set() == series(proxy) - before
    assert not [found for found in before if "junk" in found or correlation_id in found]
