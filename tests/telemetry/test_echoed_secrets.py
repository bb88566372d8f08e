"""Upstreams that echo what they were sent, or name hosts: neither callers nor logs learn a token or an address."""

import base64
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import Launch
from tests.support.chat import ask, frames, stream
from tests.support.collector import Collector
from tests.support.ports import free_port
from tests.support.processes import Proxy
from tests.support.provider.certificate import self_signed
from tests.support.provider.process import Provider
from tests.telemetry.conftest import SOON

TOKEN = "planted-opaque/token+of~login"
"""Begins each token of a login: nothing in it shows that it is one."""
Echo = Callable[[str], str]
ECHOES: dict[str, Echo] = {
    "the token": str,
    "the header": lambda token: f"Bearer {token}",
    "in JSON": lambda token: json.dumps({"authorization": f"Bearer {token}"}).replace("/", "\\/"),
    "in a URL": lambda token: f"https://idm/?token={quote(token, safe='')}",
    "in base64": lambda token: base64.b64encode(token.encode()).decode(),
    "in base64, behind something": lambda token: base64.b64encode(f"client:{token}:".encode()).decode(),
    "in base64 for URLs": lambda token: base64.urlsafe_b64encode(f"b {token}".encode()).decode(),
}
PLACES: dict[str, Callable[[str], tuple[int, bytes]]] = {
    "details, 422": lambda said: (422, json.dumps({"code": "E_1", "details": said}).encode()),
    "code, 500": lambda said: (500, json.dumps({"code": said, "details": "no"}).encode()),
    "plain text": lambda said: (500, said.encode()),
    "in the stream": lambda said: (
        200, b'data: {"message": "One"}\n\ndata: ' + json.dumps({"type": "error", "message": said}).encode() + b"\n\n",
    ),
}  # fmt: skip


class Upstream(ThreadingHTTPServer):
    """StackSpot's login and an agent, which answers with what ``answer`` makes of the tokens it has seen."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[list[str]], tuple[int, bytes]] = lambda _: (500, b"")
        self.tokens: list[str] = []
        self.numbers = itertools.count()


class Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/oidc/oauth/token"):
            token = f"{TOKEN}-{next(self.server.numbers)}"
            self.server.tokens.append(token)
            self._send(200, json.dumps({"access_token": token, "expires_in": 1200}).encode())
        else:
            self._send(*self.server.answer(self.server.tokens))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


CONFIG = """\
model_list: [{model_name: chat, litellm_params: {model: stackspot/agent}}]
router_settings: {num_retries: 0, allowed_fails: 1000}
"""


def parts_of(token: str) -> list[str]:
    """What shows a token in a text."""
    start = [base64.b64encode(b"\0" * before + token.encode()).decode()[4:24] for before in range(3)]
    return [token, quote(token, safe=""), json.dumps(token).replace("/", "\\/")[1:-1], *start,
            *(part.replace("/", "_").replace("+", "-") for part in start)]  # fmt: skip


def check(proxy: Proxy, told: str, tokens: list[str]) -> None:
    for token in tokens:
        for part in parts_of(token):
            assert part not in told
            assert part not in proxy.output


def serve(launch: Launch, upstream: Upstream, **env: str) -> Proxy:
    url = f"http://127.0.0.1:{upstream.server_port}"
    return launch(CONFIG, env={"STACKSPOT_IDM_URL": url, "STACKSPOT_API_URL": url} | env)


@pytest.mark.parametrize("messages", ["", "true"], ids=["plain", "with messages"])
def test_tokens_of_logins(launch: Launch, upstream: Upstream, collector: Collector, messages: str) -> None:
    """The current one, and the one before it."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "LOG_MESSAGES": messages} | SOON
    proxy = serve(launch, upstream, **env)
    for number, (place, echo, which) in enumerate(itertools.product(PLACES.values(), ECHOES.values(), (-1, -2))):
        name = f"echoed-{messages}-{number}"
        if number == 0:
            upstream.answer = lambda _: (401, b"")  # it logs in once more
            assert 502 == ask(proxy, name, model="chat").status_code
            assert 2 == len(upstream.tokens)
        upstream.answer = lambda tokens, place=place, echo=echo, which=which: place(f"no: {echo(tokens[which])}!")
        with stream(proxy, name, model="chat") as reply:
            told = reply.read().decode()
        assert reply.status_code in (200, 502)
        assert "********" in told
        check(proxy, told, upstream.tokens)
    told = repr([span for span in collector.spans() if "echoed-" in repr(span)])
    check(proxy, told, upstream.tokens)


PROVIDER = """\
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY}}
router_settings: {{num_retries: 0}}
"""
KEY = "planted-provider-key"


@pytest.mark.parametrize("field", ["message", "type", "code", "param"])
def test_a_key_in_any_field_of_a_provider_s_error(
    launch: Launch, provider: Provider, collector: Collector, correlation_id: str, field: str
) -> None:
    proxy = launch(PROVIDER.format(base=provider.base_url), env={"KEY": KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | SOON)  # fmt: skip
    body = {"message": "No.", "type": "t", "param": "p", "code": "c"} | {field: KEY}
    provider.script(correlation_id, {"status": 400, "body": {"error": body}})
    reply = ask(proxy, correlation_id, model="gpt")
    assert body | {field: "********"} == reply.json()["error"]
    line = proxy.wait_event(event="request.rejected", correlation_id=correlation_id)
    assert {"code": "c", "param": "p"} | ({field: None} if field in ("code", "param") else {}) == {
        name: line[name] for name in ("code", "param")
    }
    assert KEY not in repr(collector.wait_for_server_span(correlation_id))


def test_hosts_of_upstreams_are_named_to_operators_alone(launch: Launch, correlation_id: str) -> None:
    port = free_port()
    proxy = launch(PROVIDER.format(base=f"http://localhost:{port}/v1"), env={"KEY": KEY})
    reply = ask(proxy, correlation_id, model="gpt")
    assert (502, "no connection to the upstream") == (reply.status_code, reply.json()["error"]["message"])
    reason = proxy.wait_event(event="upstream.failed")["reason"]
    assert f"no connection to localhost:{port}: Connection refused" == reason


def test_a_login_s_host_is_named_to_operators_alone(launch: Launch, correlation_id: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    proxy = launch(CONFIG, env={"STACKSPOT_IDM_URL": url, "STACKSPOT_API_URL": url})
    reply = ask(proxy, correlation_id, model="chat")
    assert "no connection to the upstream" == reply.json()["error"]["message"]
    for event in ("auth.failed", "upstream.failed"):
        assert url.removeprefix("http://") in proxy.wait_event(event=event)["reason"]


def test_an_http_proxy_s_host_is_told_to_nobody(launch: Launch, correlation_id: str) -> None:
    port = free_port()
    env = {"KEY": KEY, "HTTP_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    proxy = launch(PROVIDER.format(base="http://llm.example.internal/v1"), env=env)
    reply = ask(proxy, correlation_id, model="gpt")
    assert "no connection to the HTTP proxy on the way to the upstream" == reply.json()["error"]["message"]
    assert "llm.example.internal" in proxy.wait_event(event="upstream.failed")["reason"]


def test_a_certificate_s_host_is_named_to_operators_alone(launch: Launch, tmp_path: Path, correlation_id: str) -> None:
    certificate = self_signed(tmp_path, "llm.example.internal")
    provider = Provider(tmp_path, certificate=certificate)
    try:
        config = PROVIDER.format(base=provider.base_url).replace("KEY}", f"KEY, ssl_verify: {certificate.cert}}}")
        proxy = launch(config, env={"KEY": KEY})
        reply = ask(proxy, correlation_id, model="gpt")
        assert "upstream_tls" == reply.json()["error"]["code"]
        assert "127.0.0.1" not in reply.text
        assert "127.0.0.1" in proxy.wait_event(event="upstream.failed")["reason"]
    finally:
        provider.stop()


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_hosts_in_an_upstream_s_words(launch: Launch, provider: Provider, correlation_id: str, streamed: bool) -> None:
    proxy = launch(PROVIDER.format(base=provider.base_url), env={"KEY": KEY})
    host = provider.base_url.removeprefix("http://").partition("/")[0]
    said = f"upstream connect error at {host} or HTTP://{host}/v1, {host.upper()}"
    if streamed:
        provider.script(correlation_id, {"deltas": ["a"], "error": {"after": 1, "message": said}})
        with stream(proxy, correlation_id, model="gpt") as reply:
            told = frames(reply)[-1]["error"]["message"]
    else:
        provider.script(correlation_id, {"status": 500, "body": {"error": {"message": said}}})
        told = ask(proxy, correlation_id, model="gpt").json()["error"]["message"]
    assert told.endswith("upstream connect error at ******** or HTTP://********/v1, ********")


def test_a_head_that_breaks_off_is_not_quoted(launch: Launch, upstream: Upstream, correlation_id: str) -> None:
    """aiohttp's exception then holds what came of it."""
    proxy = serve(launch, upstream)

    def send(self: Handler, status: int, body: bytes, send: Callable[..., None] = Handler._send) -> None:
        if status == 200:
            return send(self, status, body)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-echo: planted words\r\n")
        self.close_connection = True
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "_send", send)
        reply = ask(proxy, correlation_id, model="chat")
    assert (502, "the upstream closed the connection without an answer") == (
        reply.status_code, reply.json()["error"]["message"],
    )  # fmt: skip
    assert "planted" not in proxy.wait_event(event="upstream.failed")["reason"]
