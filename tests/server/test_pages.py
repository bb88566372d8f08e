"""Pages of strangers, by the headers that browsers send for them: ``Host`` under DNS rebinding, and ``Origin``."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.config.test_load import STACKSPOT
from tests.faults.hostile.wire import BODY, Told, request, send
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.certificate import self_signed

LISTED = "https://app.example.com"
KEY = "planted-pages-key"
PAGES = f"""\
{STACKSPOT}proxy:
  correlation: {{required: false}}
  cors_origins: ['{LISTED}', 'http://tool.example.com:80', 'app://obsidian.md']
  allowed_hosts: [LLM.example.com., '*.corp.example.com']
"""
ROUTES = {
    "chat completions": ("POST", "/v1/chat/completions"),
    "the chat service": ("POST", "/chat"),
    "models": ("GET", "/v1/models"),
    "targets": ("GET", "/models"),
    "metrics": ("GET", "/metrics"),
    "the page": ("GET", "/"),
    "the OpenAPI document": ("GET", "/openapi.json"),
    "no route": ("GET", "/nowhere"),
}
PROBES = ("/health", "/healthz", "/health/liveliness", "/ready", "/health/readiness")


def serve(stand_in: StandIn, folder: Path, **env: str) -> Proxy:
    (folder / "config.yaml").write_text(PAGES)
    stand_in.script("pages", {"text": "Hi", "repeat": True})
    return Proxy(env=CREDENTIALS | stand_in.env | env, cwd=folder)


@pytest.fixture(scope="module")
def open_proxy(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy without a key."""
    process = serve(stand_in, tmp_path_factory.mktemp("open"))
    yield process
    assert process.stop() == 0


@pytest.fixture(scope="module")
def keyed_proxy(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    process = serve(stand_in, tmp_path_factory.mktemp("keyed"), PROXY_API_KEY=KEY)
    yield process
    assert process.stop() == 0


def ask(proxy: Proxy, *headers: str, method: str = "GET", target: str = "/v1/models", version: str = "1.1") -> Told:
    body = BODY if method == "POST" else b""
    line = f"{method} {target} HTTP/{version}"
    return send(proxy, request("correlation-id: pages", "connection: close", *headers, line=line, body=body))


OWN_HOSTS = [
    *("127.0.0.1", "127.0.0.1:4000", "192.168.1.20:80", "0.0.0.0:4000", "[::1]", "[::1]:4000", "[fe80::1%25eth0]:4000"),
    *("localhost", "localhost:4000", "LOCALHOST", "localhost.", "localhost.:4000", "localhost:", "app.localhost", "proxy", "my_proxy:4000"),
    *("proxy.team.svc", "proxy.team.svc.cluster.local:4000", "PROXY.TEAM.SVC.CLUSTER.LOCAL.", "llm.internal", "mac.local:4000"),
    *("llm.example.com", "llm.example.com:8443", "LLM.Example.COM.", "a.corp.example.com", "a.b.corp.example.com:443"),
]  # fmt: skip
STRANGERS_HOSTS = [
    *("evil.example", "evil.example:4000", "EVIL.EXAMPLE.", "127.0.0.1.evil.example", "localhost.evil.example"),
    *("evil.example:127.0.0.1", "localhost@evil.example", "localhost:4000@evil.example", "evil.example#.local"),
    *("evil.example/.local", "evil.example\\.local", "evil.example?.svc", "evilsvc.example", "evil.notlocal", "svc.evil"),
    *("[evil.example]", "[::1].evil.example", "[::1]evil.example", "::1.evil.example", "127.0.0.1 evil.example"),
    *("llm.example.com.evil.example", "corp.example.com", "evilcorp.example.com", "xllm.example.com", "*.corp.example.com"),
    *("évil.local", "", ".local", "evil..local", "proxy:4000:4000", "127.0.0.1,evil.example", "1.2.3.4.5"),
]  # fmt: skip


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_private_and_listed_hosts_are_answered(open_proxy: Proxy, host: str) -> None:
    assert [200] == ask(open_proxy, f"host: {host}").statuses


@pytest.mark.parametrize("host", STRANGERS_HOSTS)
def test_public_hosts_are_refused_without_a_key(open_proxy: Proxy, host: str) -> None:
    told = ask(open_proxy, f"host: {host}")
    assert [403] == told.statuses
    assert "host_not_allowed" == told.error["code"]


@pytest.mark.parametrize("host", ["evil.example", "llm.example.com", "127.0.0.1"])
def test_with_a_key_every_host_is_answered(keyed_proxy: Proxy, host: str) -> None:
    assert [200] == ask(keyed_proxy, f"host: {host}", f"x-api-key: {KEY}").statuses
    assert [401] == ask(keyed_proxy, f"host: {host}").statuses


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_closed_to_rebinding(open_proxy: Proxy, stand_in: StandIn, route: str) -> None:
    method, path = ROUTES[route]
    before = stand_in.stats()["generations"]
    told = ask(open_proxy, "host: evil.example:4000", "origin: http://evil.example:4000", method=method, target=path)
    error = told.error
    assert ([403], "host_not_allowed", "invalid_request_error") == (told.statuses, error["code"], error["type"])
    for word in ("evil.example:4000", "PROXY_API_KEY", "proxy.allowed_hosts"):
        assert word in error["message"]
    assert before == stand_in.stats()["generations"]


@pytest.mark.parametrize("path", PROBES)
def test_probes_are_answered_under_every_name(open_proxy: Proxy, path: str) -> None:
    """Load balancers ask by whatever name they know."""
    assert [200] == ask(open_proxy, "host: lb.example.com", "origin: null", target=path).statuses


ABSOLUTE = {
    "a public target": ("http://evil.example/v1/models", "host: 127.0.0.1", 403),
    "a public target, with a user": ("http://127.0.0.1@evil.example/v1/models", "host: 127.0.0.1", 403),
    "a public target, of https": ("https://evil.example:4000/v1/models", "host: 127.0.0.1", 403),
    "a public target and its query": ("http://evil.example?/v1/models", "host: 127.0.0.1", 403),
    "a public host": ("http://127.0.0.1/v1/models", "host: evil.example", 403),
    "its own": ("http://127.0.0.1:4000/v1/models", "host: 127.0.0.1:4000", 200),
    "a listed one": ("http://llm.example.com/v1/models", "host: llm.example.com", 200),
}


@pytest.mark.parametrize("case", ABSOLUTE)
def test_the_host_of_an_absolute_target_counts(open_proxy: Proxy, case: str) -> None:
    target, host, status = ABSOLUTE[case]
    assert [status] == ask(open_proxy, host, target=target).statuses


def test_http_1_0_without_a_host_is_answered(open_proxy: Proxy) -> None:
    """No browser sends it."""
    assert [200] == send(open_proxy, b"GET /v1/models HTTP/1.0\r\n\r\n").statuses
    assert [403] == send(open_proxy, b"GET /v1/models HTTP/1.0\r\nhost: evil.example\r\n\r\n").statuses


def test_two_hosts_are_no_http(open_proxy: Proxy) -> None:
    assert [400] == ask(open_proxy, "host: 127.0.0.1", "host: evil.example").statuses


ORIGINS = {
    "none": ([], 200),
    "listed": ([f"origin: {LISTED}"], 200),
    "listed with its default port": (["origin: http://tool.example.com"], 200),
    "listed, of an app": (["origin: app://obsidian.md"], 200),
    "listed, from elsewhere": ([f"origin: {LISTED}", "sec-fetch-site: cross-site"], 200),
    "its own": (["origin: http://127.0.0.1:4000", "host: 127.0.0.1:4000"], 200),
    "its own by name": (["origin: http://localhost:4000", "host: localhost:4000"], 200),
    "its own of IPv6": (["origin: http://[::1]:4000", "host: [::1]:4000"], 200),
    "its own without a port": (["origin: http://llm.example.com", "host: llm.example.com"], 200),
    "its own where TLS ends before": (["origin: https://llm.example.com", "host: llm.example.com"], 200),
    "its own, its port spelt out": (["origin: https://llm.example.com", "host: llm.example.com:443"], 200),
    "its own, as browsers tell": (["origin: http://proxy", "host: proxy", "sec-fetch-site: same-origin"], 200),
    "another": (["origin: https://evil.example"], 403),
    "null": (["origin: null"], 403),
    "null in capitals": (["origin: NULL"], 403),
    "empty": (["origin: "], 403),
    "its host on another port": (["origin: http://127.0.0.1:5173", "host: 127.0.0.1:4000"], 403),
    "its host without the port": (["origin: http://127.0.0.1", "host: 127.0.0.1:4000"], 403),
    "its host, https on http's port": (["origin: https://proxy", "host: proxy:80"], 403),
    "its host with another scheme": (["origin: ftp://proxy", "host: proxy"], 403),
    "its host without a scheme": (["origin: proxy", "host: proxy"], 403),
    "its host in the path": (["origin: http://evil.example/proxy", "host: proxy"], 403),
    "its host as the user": (["origin: http://proxy@evil.example", "host: proxy"], 403),
    "a longer name": (["origin: http://proxy.evil.example", "host: proxy"], 403),
    "listed with another scheme": (["origin: http://app.example.com"], 403),
    "listed with another port": ([f"origin: {LISTED}:8443"], 403),
    "below a listed one": (["origin: https://x.app.example.com"], 403),
    "two": ([f"origin: {LISTED}", "origin: https://evil.example"], 403),
    "of an allowed host, not this one": (["origin: http://llm.example.com", "host: proxy"], 403),
    "forwarded": (["origin: https://evil.example", "x-forwarded-host: evil.example"], 403),
    "its own by name, from elsewhere": (["origin: http://proxy", "host: proxy", "sec-fetch-site: cross-site"], 403),
    "none, from elsewhere": (["sec-fetch-site: cross-site", "sec-fetch-mode: no-cors"], 403),
    "none, from the same site": (["sec-fetch-site: same-site", "sec-fetch-mode: no-cors"], 403),
    "none, typed in": (["sec-fetch-site: none", "sec-fetch-mode: navigate"], 200),
}


@pytest.mark.parametrize("case", ORIGINS)
@pytest.mark.parametrize("route", [name for name in ROUTES if name != "no route"])
def test_origins(open_proxy: Proxy, stand_in: StandIn, route: str, case: str) -> None:
    headers, status = ORIGINS[case]
    method, path = ROUTES[route]
    before = stand_in.stats()["generations"]
    told = ask(open_proxy, *headers, "content-type: text/plain", method=method, target=path)
    assert [status] == told.statuses
    if status == 403:
        assert "origin_not_allowed" == told.error["code"]
        assert "proxy.cors_origins" in told.error["message"]
        assert before == stand_in.stats()["generations"]
        assert "access-control-allow-origin" not in told.head


def test_a_link_from_elsewhere_opens_the_page(open_proxy: Proxy) -> None:
    link = ("sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document")
    assert [200] == ask(open_proxy, *link, target="/").statuses
    assert [403] == ask(open_proxy, *link, method="POST", target="/chat").statuses


def test_a_key_does_not_make_up_for_the_origin(keyed_proxy: Proxy) -> None:
    assert [403] == ask(keyed_proxy, "origin: https://evil.example", f"api-key: {KEY}").statuses
    assert [200] == ask(keyed_proxy, f"origin: {LISTED}", f"api-key: {KEY}").statuses


PREFLIGHT = ("access-control-request-method: POST", "access-control-request-headers: x-api-key, api-key, x-made-up")


def test_preflights(open_proxy: Proxy) -> None:
    def preflight(*headers: str) -> Told:
        return ask(open_proxy, *headers, *PREFLIGHT, method="OPTIONS", target="/v1/chat/completions")

    listed = preflight(f"origin: {LISTED}")
    assert [204] == listed.statuses
    assert "access-control-allow-headers: x-api-key, api-key\r\n" in f"{listed.head}\r\n"
    for headers, code in (
        (["origin: https://evil.example"], "origin_not_allowed"),
        (["origin: null"], "origin_not_allowed"),
        (["origin: http://evil.example", "host: evil.example"], "host_not_allowed"),
        ([f"origin: {LISTED}", "host: evil.example"], "host_not_allowed"),
    ):
        told = preflight(*headers)
        assert ([403], code) == (told.statuses, told.error["code"])
        assert "access-control-allow-methods" not in told.head


def test_where_the_proxy_speaks_tls_its_own_origin_does_too(stand_in: StandIn, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    (tmp_path / "config.yaml").write_text(f"{STACKSPOT}proxy: {{tls: {{cert: cert.pem, key: key.pem}}}}\n")
    proxy = Proxy(env=CREDENTIALS | stand_in.env, cwd=tmp_path, trust=certificate.cert)
    host = httpx.URL(proxy.url).netloc.decode()
    statuses = [proxy.client.get("/models", headers={"origin": f"{s}://{host}"}).status_code for s in ("https", "http")]
    assert [200, 403] == statuses
    assert 0 == proxy.stop()


def test_refusals_are_logged_without_what_was_sent(open_proxy: Proxy) -> None:
    ask(open_proxy, "host: planted.evil.example")
    ask(open_proxy, "origin: https://planted.evil.example")
    for code in ("host_not_allowed", "origin_not_allowed"):
        assert 403 == open_proxy.wait_event(event="request.rejected", code=code, level="warning")["status"]
