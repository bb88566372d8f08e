"""One proxy that lives through everything that is logged, with secrets and words planted wherever they can be."""

import json
import socket
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.chat import PATH, WEATHER_TOOL, ask, body, stream
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider

SECRETS = {
    "KEY": "planted-provider-key",
    "PROXY_API_KEY": "planted-master-key",
    "BILLING_KEY": "planted-billing-key",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=planted-collector-key",
}
PLANTED = "planted"
"""Stands in all secrets and in all texts."""
QUESTION = "planted-prompt: where does the old river end?"
ANSWER = "planted-answer: in the sea, as they all do."
CONFIG = """\
model_list:
  - model_name: agent
    litellm_params: {{model: stackspot/agent}}
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY, ssl_verify: false}}
  - model_name: gone
    litellm_params: {{model: openai/gone, api_base: "http://127.0.0.1:1/v1", api_key: os.environ/KEY}}
  - model_name: locked
    litellm_params: {{model: stackspot/agent, realm: no-such-realm, client_id: planted-client, client_secret: planted-literal}}
router_settings: {{num_retries: 1, allowed_fails: 1000, fallbacks: [{{gone: [gpt]}}]}}
proxy:
  timeouts: {{first_token: 1, request_body: 1}}
  run_records: runs
  capture: captured
  api_keys: [{{name: billing, key: os.environ/BILLING_KEY, models: [agent, gpt, gone], requests_per_minute: 1000}}]
"""
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END'
BROKEN = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "planted-answer "old" town"}\nFUNCTION_CALL_END'
HERMES = '<tool_call>{"name": "get_weather", "arguments": {"city": "planted-answer"}}</tool_call>'
ECHO = {"status": 422, "body": {"code": "E_1", "details": f"user_prompt: {QUESTION!r} is not welcome"}}
TOOLS = [{"type": "function", "function": WEATHER_TOOL["function"] | {"description": "planted-description of it"}}]  # type: ignore[operator]
HISTORY = [
    {"role": "system", "content": "planted-system text"},
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "planted-town"}'}}
    ]},
    {"role": "tool", "tool_call_id": "c1", "content": "planted-result"},
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A request: what the upstream answers, what is sent, and what comes of it."""

    status: int
    answers: tuple[dict[str, Any], ...] = ()
    fields: dict[str, Any] | None = None
    streamed: bool = True
    model: str = "agent"


CASES: dict[str, Case] = {
    "a-text": Case(200, ({"text": ANSWER},)),
    "whole": Case(200, ({"text": ANSWER},), streamed=False),
    "a-history": Case(200, ({"text": ANSWER},), {"messages": HISTORY, "tools": TOOLS, "metadata": {"a": "planted"}}),
    "a-call": Case(200, ({"text": CALL},), {"tools": TOOLS}),
    "a-broken-call": Case(200, ({"text": BROKEN}, {"text": CALL}), {"tools": TOOLS}),
    "a-call-in-another-format": Case(200, ({"text": HERMES}, {"text": CALL}), {"tools": TOOLS}),
    "broken-twice": Case(502, ({"text": BROKEN}, {"text": BROKEN}), {"tools": TOOLS}, streamed=False),
    "no-json": Case(502, ({"text": ANSWER},) * 2, {"response_format": {"type": "json_object"}}, streamed=False),
    "relayed": Case(200, ({"text": ANSWER},), model="gpt"),
    "relayed-whole": Case(200, ({"text": ANSWER},), model="gpt", streamed=False),
    "retried": Case(200, ({"refuse": "server_error"}, {"text": ANSWER})),
    "fallen-back": Case(200, ({"text": ANSWER},), model="gone"),
    "truncated": Case(200, ({"deltas": [ANSWER], "cut": {"how": "clean", "after": 1}},)),
    "broken-off": Case(200, ({"deltas": [ANSWER], "cut": {"how": "reset", "after": 1}},)),
    "error-inside": Case(200, ({"deltas": [ANSWER], "error": {"form": "type", "after": 1, "message": f"no: {QUESTION}"}},)),
    "unreadable-event": Case(502, ({"raw": "ZGF0YTogbm8ganNvbgoKZGF0YTogeyJtZXNzYWdlIjoicGxhbnRlZA=="},), streamed=False),
    "refused-with-an-echo": Case(502, (ECHO,)),
    "failed-with-an-echo": Case(502, (ECHO | {"status": 500},) * 2, streamed=False),
    "provider-s-echo": Case(400, ({"status": 400, "body": {"error": {"message": f"what is {QUESTION}?"}}},), model="gpt"),
    "limited": Case(429, ({"refuse": "credit"},)),
    "silent": Case(504, ({"before_status_s": 30},)),
    "forbidden": Case(502, ({"refuse": "forbidden", "repeat": True},)),
    "no-such-model": Case(404, model="none"),
    "a-made-up-role": Case(400, fields={"messages": [{"role": "planted-role", "content": QUESTION}]}),
    "an-unknown-tool": Case(400, fields={"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "planted_tool"}}}),
    "no-content": Case(400, fields={"messages": [{"role": "user", "name": "planted"}]}),
    "a-bad-schema": Case(400, fields={"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "planted"}}}}),
    "a-wrong-login": Case(502, model="locked"),
    "told-our-key": Case(502, ({"status": 403, "body": {"error": {"message": "planted-provider-key may not"}}},), model="gpt"),
    "told-our-login": Case(502, ({"status": 404, "body": {"code": "E_2", "details": "planted-client-secret"}},)),
    "told-our-key-midway": Case(200, ({"deltas": ["One "], "error": {"form": "type", "after": 1, "message": "planted-client-secret"}},)),
}  # fmt: skip


def live_through(proxy: Proxy, stand_in: StandIn, provider: Provider, name: str) -> None:
    """Sends everything; correlation ids are ``name`` and the case's."""
    proxy.client.headers["authorization"] = f"Bearer {SECRETS['PROXY_API_KEY']}"
    for case_name, case in CASES.items():
        correlation_id = f"{name}-{case_name}"
        if case.model in ("gpt", "gone"):
            provider.script(correlation_id, *case.answers)
        elif case.answers:
            stand_in.script(correlation_id, *({"interval_s": 0} | answer for answer in case.answers))
        fields = {"text": QUESTION, "model": case.model} | (case.fields or {})
        if case.streamed:
            with stream(proxy, correlation_id, **fields) as reply:
                reply.read()
        else:
            reply = ask(proxy, correlation_id, **fields)
        assert case.status == reply.status_code, (case_name, reply.text)
        if case_name.startswith("told-our"):
            assert "planted" not in reply.text.replace(QUESTION, ""), "a caller learns no secret of ours"
    _leave(proxy, stand_in, f"{name}-left")
    _send_nonsense(proxy, name)


def _leave(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": ANSWER, "pause": {"seconds": 30, "after": 1}})
    with stream(proxy, correlation_id, model="agent", text=QUESTION) as reply:
        next(reply.iter_lines())


def _send_nonsense(proxy: Proxy, name: str) -> None:
    """What is no request: each is refused, some by aiohttp itself."""
    client, headers = proxy.client, {"correlation-id": f"{name}-nonsense"}
    sent: list[tuple[int, httpx.Response]] = [
        (400, client.post(PATH, headers=headers, content=b'{"model": "agent", planted')),
        (400, client.post(PATH, headers=headers, content=b"planted")),
        (400, client.post(PATH, json=body(QUESTION))),
        (400, client.post(PATH, headers={"correlation-id": "planted prompt"}, json=body(QUESTION))),
        (401, client.post(PATH, headers=headers | {"authorization": "Bearer planted-wrong-key"}, json=body(QUESTION))),
        (401, client.get("/v1/models", headers={"authorization": "Basic planted-basic"})),
        (404, client.get("/nowhere?key=planted-query")),
        (405, client.delete(PATH, headers=headers)),
        (413, client.post(PATH, headers=headers, content=b"planted" * 2_000_000)),
    ]
    assert [status for status, _ in sent] == [reply.status_code for _, reply in sent]
    host, port = proxy.url.removeprefix("http://").split(":")
    for raw in (b"planted\r\n\r\n", b"POST / HTTP/1.1\r\nplanted header\r\n\r\n"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(raw)
            connection.recv(1000)


def env_of(stand_in: StandIn, collector_url: str) -> dict[str, str]:
    return CREDENTIALS | stand_in.env | SECRETS | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector_url}


def in_json(output: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output]
