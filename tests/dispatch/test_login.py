"""The login: once for everybody, before it expires, after a refusal, and quiet about the secret."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from proxy.dispatch.credentials import ClientCredentials
from proxy.dispatch.transport import Transport
from proxy.errors import ConnectTimeout, ProxyError
from tests.conftest import Launch
from tests.support.chat import PATH, ask, body
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.certificate import self_signed
from tests.support.provider.process import Provider

pytestmark = pytest.mark.slow


@pytest.fixture
def alone(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Proxy, StandIn]:
    """A proxy with a simulator that nobody else logs in to."""
    own = StandIn(tmp_path_factory.mktemp("own"))
    try:
        yield launch(env=own.env), own  # type: ignore[misc]
    finally:
        own.stop()


async def all_at_once(proxy: Proxy, count: int) -> list[int]:
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        asked = (client.post(PATH, headers={"correlation-id": f"l-{n}"}, json=body()) for n in range(count))
        return [reply.status_code for reply in await asyncio.gather(*asked)]


async def test_one_login_however_many_wait(alone: tuple[Proxy, StandIn]) -> None:
    proxy, stand_in = alone
    stand_in.settings(login_delay_s=0.3, interval_s=0)
    assert [200] * 50 == await all_at_once(proxy, 50)
    assert 1 == stand_in.stats()["logins"]


async def test_one_login_fails_for_all_that_wait(alone: tuple[Proxy, StandIn]) -> None:
    proxy, stand_in = alone
    stand_in.settings(login_delay_s=0.3, login_failure_status=503)
    assert [502] * 20 == await all_at_once(proxy, 20)
    stats = stand_in.stats()
    assert (1, 0) == (stats["logins_failed"], stats["generations"])


def test_a_caller_that_leaves_does_not_take_the_login_along(alone: tuple[Proxy, StandIn]) -> None:
    proxy, stand_in = alone
    stand_in.settings(login_delay_s=0.6)
    with httpx.Client(base_url=proxy.url, timeout=0.2) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(PATH, headers={"correlation-id": "gone"}, json=body())
    assert 200 == ask(proxy, "patient").status_code
    assert 1 == stand_in.stats()["logins"]


def test_the_token_is_renewed_before_it_expires(alone: tuple[Proxy, StandIn]) -> None:
    """No request ever meets the end of a token's life."""
    proxy, stand_in = alone
    stand_in.settings(token_lifetime_s=1, interval_s=0)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert 200 == ask(proxy, "steady").status_code
        time.sleep(0.02)
    stats = stand_in.stats()
    assert 0 == stats["refused"], "a 401 would have been counted"
    assert 2 <= stats["logins"] <= 5


def test_an_answer_without_expires_in(alone: tuple[Proxy, StandIn]) -> None:
    proxy, stand_in = alone
    stand_in.settings(expires_in=False)
    assert [200, 200] == [ask(proxy, "no-expiry").status_code for _ in range(2)]
    assert 1 == stand_in.stats()["logins"]


def test_a_refused_token_is_renewed_once(alone: tuple[Proxy, StandIn]) -> None:
    proxy, stand_in = alone
    ask(proxy, "first")
    stand_in.revoke()
    assert 200 == ask(proxy, "second").status_code
    assert 2 == stand_in.stats()["logins"]
    stand_in.script("third", {"refuse": "unauthorized", "repeat": True})
    reply = ask(proxy, "third")
    assert (502, "upstream_auth", "false") == (
        reply.status_code, reply.json()["error"]["code"], reply.headers["x-should-retry"],
    )  # fmt: skip
    assert 1 == len(stand_in.requests("third")), "so soon after a renewal it is the agent's"
    assert 2 == stand_in.stats()["logins"]


@pytest.mark.parametrize(
    "env", [{"CLIENT_SECRET": "wrong-secret"}, {"CLIENT_ID": "wrong-client"}, {"REALM": "no-such-realm"}], ids=str
)
def test_wrong_credentials(launch: Launch, env: dict[str, str]) -> None:
    proxy = launch(env=env)
    reply = ask(proxy, "wrong")
    assert (502, "upstream_auth") == (reply.status_code, reply.json()["error"]["code"])
    failed = proxy.wait_event(event="auth.failed")
    assert ("error", "wrong") == (failed["level"], failed["correlation_id"])
    assert 1 == proxy.metric("proxy_jwt_fetch_seconds_count", outcome="failed")
    for output in (proxy.output, reply.text):
        assert env.get("CLIENT_SECRET", CREDENTIALS["CLIENT_SECRET"]) not in output
        assert "Traceback" not in output


def test_nobody_to_log_in_to(launch: Launch) -> None:
    proxy = launch(env={"STACKSPOT_IDM_URL": "http://127.0.0.1:1"})
    reply = ask(proxy, "nobody")
    assert (502, "upstream_unreachable") == (reply.status_code, reply.json()["error"]["code"])


def test_a_ready_key(launch: Launch, stand_in: StandIn) -> None:
    nothing = dict.fromkeys(("CLIENT_ID", "CLIENT_SECRET", "REALM"), "")
    proxy = launch(env=nothing | {"STACKSPOT_API_KEY": "planted-key"})
    assert 200 == ask(proxy, "ready-key").status_code
    assert [] == proxy.events(event="auth.succeeded")
    assert "planted-key" not in proxy.output


async def test_a_login_that_hangs_does_not_hold_the_next_one(unused_tcp_port: int) -> None:
    """It fails for those who wait, and the next request logs in anew."""
    hung = asyncio.Event()
    told: list[str] = []
    ended: list[None] = []

    class Observer:
        def login(self, outcome: str, seconds: float, error: ProxyError | None) -> None:
            told.append(outcome)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"client_secret=s")
        if hung.is_set():
            body = b'{"access_token": "t", "expires_in": 60}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        else:
            hung.set()
            await reader.read()  # until the proxy gives up
        writer.close()
        await writer.wait_closed()
        ended.append(None)

    transport = Transport(1)
    url = f"http://127.0.0.1:{unused_tcp_port}/token"
    credentials = ClientCredentials(transport, url, "c", "s", Observer(), timeout=0.2, failure_memory=0)
    server = await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port)
    async with server:
        with pytest.raises(ConnectTimeout):
            await credentials.authorization()
        assert "Bearer t" == await credentials.authorization()
        await transport.close()
        while len(ended) < 2:  # noqa: ASYNC110 - two connections, and no event for both
            await asyncio.sleep(0.01)
    assert ["failed", "succeeded"] == told


@pytest.mark.parametrize("form", ["bare", "sk-", "JWT"])
def test_a_ready_key_in_each_form(launch: Launch, stand_in: StandIn, correlation_id: str, form: str) -> None:
    """The simulator takes keys that begin with sk-, and tokens that it has given out itself."""
    login = {"grant_type": "client_credentials", "client_id": "c", "client_secret": "s"}
    jwt: str = stand_in.client.post("/acme/oidc/oauth/token", data=login).json()["access_token"]
    key = {"bare": "planted-key", "sk-": "sk-planted-key", "JWT": jwt}[form]
    nothing = dict.fromkeys(("CLIENT_ID", "CLIENT_SECRET", "REALM"), "")
    proxy = launch(env=nothing | {"STACKSPOT_API_KEY": key})
    stand_in.script(correlation_id, {"text": "Hi"})
    assert 200 == ask(proxy, correlation_id).status_code
    assert key not in proxy.output


@pytest.mark.parametrize(("setting", "code"), [("true", "upstream_tls"), ("false", "upstream_auth")])
def test_the_certificate_of_the_login(
    launch: Launch, tmp_path: Path, correlation_id: str, setting: str, code: str
) -> None:
    """``ssl_verify`` of a model counts for its login, too. This server knows no realm: it is reached or not."""
    idm = Provider(tmp_path, certificate=self_signed(tmp_path))
    try:
        config = "model_list:\n  - {model_name: m, litellm_params: {model: stackspot/a, ssl_verify: %s}}\n"
        proxy = launch(config % setting, env={"STACKSPOT_IDM_URL": idm.url})
        assert code == ask(proxy, correlation_id, model="m").json()["error"]["code"]
    finally:
        idm.stop()
