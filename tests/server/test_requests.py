"""What callers send that is wrong: each a clear error in OpenAI's shape, and the process goes on."""

import socket
from typing import Any

import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import PATH, ask, body
from tests.support.processes import Proxy, StandIn

HEADERS = {"correlation-id": "bad-1"}


def error_of(reply: Any) -> dict[str, Any]:
    assert {"error"} == reply.json().keys()
    error: dict[str, Any] = reply.json()["error"]
    assert {"message", "type", "param", "code"} == error.keys()
    return error


@pytest.mark.parametrize(
    ("request_", "status", "code", "param"),
    {
        "malformed JSON": ({"content": b"{"}, 400, None, None),
        "not UTF-8": ({"content": b'{"model": "\xff"}'}, 400, None, None),
        "no gzip": ({"headers": HEADERS | {"content-encoding": "gzip"}, "content": b"{}"}, 400, None, None),
        "an empty body": ({"content": b""}, 400, None, None),
        "a wrong type": ({"json": body(messages=[{"role": "user", "content": 7}])}, 400, None, "messages[0].content"),
        "an unknown model": ({"json": body(model="gpt-x")}, 404, "model_not_found", "model"),
        "too many answers": ({"json": body(n=2)}, 400, None, "n"),
        "no correlation id": ({"headers": {}, "json": body()}, 400, "correlation_id_missing", "correlation-id"),
        "an empty one": ({"headers": {"correlation-id": ""}, "json": body()}, 400, "correlation_id_invalid", "correlation-id"),
        "a malformed one": ({"headers": {"correlation-id": "a b"}, "json": body()}, 400, "correlation_id_invalid", "correlation-id"),
        "a long one": ({"headers": {"correlation-id": "a" * 129}, "json": body()}, 400, "correlation_id_invalid", "correlation-id"),
        "10 MB": ({"content": b" " * (10 * 2**20 + 1)}, 413, "request_too_large", None),
    }.values(),
)  # fmt: skip
def test_bad_requests(proxy: Proxy, request_: dict[str, Any], status: int, code: str | None, param: str | None) -> None:
    reply = proxy.client.post(PATH, **({"headers": HEADERS} | request_))
    error = error_of(reply)
    assert (status, code, param) == (reply.status_code, error["code"], error["param"])
    assert "invalid_request_error" == error["type"]
    assert reply.headers["x-request-id"]
    assert "Traceback" not in proxy.output
    assert 200 == proxy.client.get("/health").status_code


def test_an_unknown_model_is_told_the_names(proxy: Proxy) -> None:
    message = error_of(ask(proxy, "bad-2", model="gpt-x"))["message"]
    for name in ("stackspot-ai-chat", "stackspot", "stackspot-ai-code", "stackspot-ai-assistant"):
        assert name in message


def test_a_chunked_body_has_the_same_limit(proxy: Proxy) -> None:
    reply = proxy.client.post(PATH, headers=HEADERS, content=(b" " * 2**20 for _ in range(12)))
    assert 413 == reply.status_code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("GET", "/nope", 404), ("POST", "/v1/models", 405), ("GET", "/v1/models/nope", 404)],
)
def test_routes_that_are_not_there(proxy: Proxy, method: str, path: str, status: int) -> None:
    reply = proxy.client.request(method, path, headers=HEADERS)
    assert status == reply.status_code
    assert error_of(reply)["message"]


def test_nothing_reaches_the_upstream(proxy: Proxy, stand_in: StandIn) -> None:
    assert [] == stand_in.requests("bad-1")


def test_a_header_cannot_be_smuggled_in(proxy: Proxy) -> None:
    host, port = proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\ncorrelation-id: a\rX: b\r\ncontent-length: 0\r\n\r\n"
        )
        assert b" 400 " in raw.recv(1000).split(b"\r\n")[0]


def test_rejections_are_logged_and_counted(launch: Launch) -> None:
    proxy = launch()
    proxy.client.post(PATH, json=body())
    proxy.client.post(PATH, json=body(), headers={"correlation-id": "a b"})
    assert 1 == proxy.metric("proxy_correlation_rejections_total", reason="missing")
    assert 1 == proxy.metric("proxy_correlation_rejections_total", reason="invalid")
    proxy.wait_event(event="request.rejected", code="correlation_id_invalid")
    assert ["correlation_id_missing", "correlation_id_invalid"] == [
        event["code"] for event in proxy.events(event="request.rejected", level="warning")
    ]


def test_ignored_parameters_are_named(proxy: Proxy) -> None:
    reply = ask(proxy, "ignored-1", temperature=0.5, seed=7)
    assert "temperature, seed" == reply.headers["x-proxy-ignored-params"]


def test_strict_parameters(launch: Launch) -> None:
    proxy = launch(STACKSPOT + "proxy: {strict_params: true}\n")
    error = error_of(ask(proxy, "strict-1", model="chat", temperature=0.5))
    assert "temperature" == error["param"]


CORRELATION = "proxy: {{correlation: {{required: {required}, also_accept: [x-conversation, metadata.session_id]}}}}\n"


def test_correlation_rules(launch: Launch, stand_in: StandIn) -> None:
    proxy = launch(STACKSPOT + CORRELATION.format(required="false"))

    def post(headers: dict[str, str], **fields: Any) -> str:
        reply = proxy.client.post(PATH, headers=headers, json=body(model="chat", **fields))
        assert 200 == reply.status_code
        echoed: str = reply.headers["correlation-id"]
        assert echoed in [sent["correlation_id"] for sent in stand_in.requests(echoed)]
        return echoed

    assert "own-1" == post({"correlation-id": "own-1", "x-conversation": "other"})
    assert "other-1" == post({"x-conversation": "other-1"})
    assert "session-1" == post({}, metadata={"session_id": "session-1"})
    assert 24 == len(post({}))


def test_callers_key(launch: Launch) -> None:
    proxy = launch(env={"PROXY_API_KEY": "planted-caller-key"})

    def status(key: bytes | None, path: str = "/v1/models") -> int:
        headers = {b"authorization": b"Bearer " + key} if key else {}
        return proxy.client.get(path, headers=headers).status_code

    assert [401, 401, 401, 200] == [
        status(None),
        status(b"wrong"),
        status("ção".encode("latin-1")),
        status(b"planted-caller-key"),
    ]
    assert [200, 200, 200] == [status(None, path) for path in ("/health", "/ready", "/metrics")]
    reply = proxy.client.post(PATH, headers=HEADERS, json=body())
    assert "invalid_api_key" == error_of(reply)["code"]
    assert "planted-caller-key" not in proxy.output
