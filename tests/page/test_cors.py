"""Pages of other origins, in a real browser: who is listed may call the proxy, who is not may not, not even blindly."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.conftest import ONCE, Launch
from tests.page.conftest import Tab, Visit
from tests.support.processes import StandIn

MODELS = "model_list: [{model_name: m, litellm_params: {model: stackspot/agent}}]\n" + ONCE
KEY = "planted-caller-key"
ASK = """
async ([url, headers, stream, path, type]) => {
  const body = JSON.stringify({model: "m", stream, messages: [{role: "user", content: "Hi"}]});
  try {
    const reply = await fetch(url + path, {method: "POST", body, headers: {"content-type": type, ...headers}});
    return [reply.status, await reply.text(), reply.headers.get("x-request-id"), reply.headers.get("x-proxy-upstream-model")];
  } catch (problem) { return [0, problem.message, null, null]; }
}"""
# What openai-node sends from a browser, and what its users add.
CLIENT = {
    **{f"x-stainless-{name}": "1" for name in ("arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout", "helper-method")},
    "openai-organization": "o",
    "openai-project": "p",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}  # fmt: skip


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def a_site() -> Iterator[str]:
    """A page of another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def site() -> Iterator[str]:
    with a_site() as url:
        yield url


def ask(
    tab: Tab, url: str, *, headers: dict[str, str], stream: bool = False, path: str = "/v1/chat/completions", type: str = "application/json"
) -> tuple[int, str, str | None, str | None]:  # fmt: skip
    status, text, request_id, answered_by = tab.page.evaluate(ASK, [url, headers, stream, path, type])
    tab.errors.clear()  # the browser tells of what it did not let through,
    tab.outside.clear()  # and another origin is what this is about
    return status, text, request_id, answered_by


def test_a_listed_origin(launch: Launch, stand_in: StandIn, visit: Visit, site: str, correlation_id: str) -> None:
    """With a key and all headers of OpenAI's client; the page may read streams, errors and the proxy's headers."""
    proxy = launch(f"{MODELS}proxy: {{cors_origins: ['{site}/']}}\n", env={"PROXY_API_KEY": KEY})
    tab = visit(site)
    headers = {**CLIENT, "authorization": f"Bearer {KEY}", "correlation-id": correlation_id}
    status, text, request_id, answered_by = ask(tab, proxy.url, headers=headers, stream=True)
    assert (200, "stackspot/agent", True) == (status, answered_by, bool(request_id))
    assert text.endswith("data: [DONE]\n\n")
    assert 200 == ask(tab, proxy.url, headers=headers)[0]
    status, text, *_ = ask(tab, proxy.url, headers=headers | {"authorization": "Bearer wrong"})
    assert (401, True) == (status, "invalid_api_key" in text)
    assert 0 == ask(tab, proxy.url, headers=headers | {"x-made-up": "1"})[0], "only what is known"
    listed = tab.page.evaluate(
        "async ([url, key]) => (await fetch(url + '/models', {headers: {authorization: key}})).status",
        [proxy.url, f"Bearer {KEY}"],
    )
    tab.outside.clear()
    assert 200 == listed
    assert 2 == len(stand_in.requests(correlation_id))


@pytest.mark.parametrize("listed", ["", "https://app.example.com"], ids=["off", "another"])
def test_an_origin_that_is_not_listed(launch: Launch, stand_in: StandIn, visit: Visit, site: str, listed: str) -> None:
    """It can neither read an answer nor cause one: also not by a request that browsers send without a preflight."""
    proxy = launch(f"{MODELS}proxy: {{cors_origins: [{listed}]}}\n")
    tab = visit(site)
    before = stand_in.stats()["generations"]
    for headers, path, type_ in (
        ({"correlation-id": "c"}, "/v1/chat/completions", "application/json"),
        ({}, "/chat", "application/json"),
        ({}, "/chat", "text/plain"),
    ):
        assert 0 == ask(tab, proxy.url, headers=headers, path=path, type=type_)[0]
    assert before == stand_in.stats()["generations"]
    refused = proxy.wait_event(event="request.rejected", status=403)
    assert "origin_not_allowed" == refused["code"]


def test_its_own_page_needs_no_listing(launch: Launch, visit: Visit) -> None:
    proxy = launch(f"{MODELS}proxy: {{cors_origins: ['https://app.example.com']}}\n")
    tab = visit(proxy.url)
    assert 200 == ask(tab, "", headers={}, path="chat")[0]


def test_preflights_as_they_are(launch: Launch) -> None:
    origin = "https://app.example.com"
    proxy = launch(f"{MODELS}proxy: {{cors_origins: ['{origin}']}}\n", env={"PROXY_API_KEY": KEY})

    def preflight(**headers: str) -> tuple[int, str | None, str | None]:
        asked = {
            "access-control-request-method": "POST",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        reply = proxy.client.options("/v1/chat/completions", headers=asked)
        assert reply.status_code == 204 or "access-control-allow-headers" not in reply.headers
        return reply.status_code, reply.headers.get("access-control-allow-origin"), reply.headers.get("vary")

    assert (204, origin, "Origin") == preflight(origin=origin)
    assert (403, None, "Origin") == preflight(origin="https://other.example.com")
    assert (401, None, "Origin") == preflight()
