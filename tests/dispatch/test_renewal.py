"""Refused tokens: an agent that refuses every one costs its account one login in 30 s and nobody else an answer."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from proxy.dispatch.credentials import ClientCredentials
from proxy.dispatch.transport import Transport
from proxy.errors import ProxyError, UpstreamFailed
from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.processes import Proxy, StandIn

pytestmark = pytest.mark.slow

AGENTS = """\
model_list:
  - model_name: bad
    litellm_params: {model: stackspot/bad}
  - model_name: good
    litellm_params: {model: stackspot/good}
router_settings: {num_retries: 0, allowed_fails: 1000}
"""
QUOTA = "proxy: {quota: {requests_per_minute: %d, max_concurrent: 1, queue_timeout: 1}}\n"
REFUSALS = {"unauthorized": "upstream_auth", "forbidden": "upstream_forbidden"}


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    process = StandIn(tmp_path_factory.mktemp("own"))
    process.settings(interval_s=0)
    yield process
    process.stop()


def post(proxy: Proxy, model: str, correlation_id: str = "") -> httpx.Response:
    return proxy.client.post(PATH, headers={"correlation-id": correlation_id or model}, json=body(model=model))


def code_of(reply: httpx.Response) -> str:
    code: str = reply.json()["error"]["code"]
    return code


@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_agent_that_refuses_every_token_costs_one_login(launch: Launch, own: StandIn, refusal: str) -> None:
    own.script("bad", {"refuse": refusal, "repeat": True})
    proxy = launch(AGENTS, env=own.env)
    for _ in range(20):
        reply = post(proxy, "bad")
        assert (502, REFUSALS[refusal]) == (reply.status_code, code_of(reply))
        assert 200 == post(proxy, "good").status_code
    assert 2 == own.stats()["logins"]
    assert 20 + 1 == len(own.requests("bad")), "one of them was repeated with the new token"
    assert 20 == len(own.requests("good"))


async def test_many_refused_at_once_wait_for_one_login(launch: Launch, own: StandIn) -> None:
    proxy = launch(AGENTS, env=own.env)
    post(proxy, "good")
    own.revoke()
    own.settings(login_delay_s=0.5)
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        asked = (client.post(PATH, headers={"correlation-id": f"r{n}"}, json=body(model="good")) for n in range(20))
        replies = await asyncio.gather(*asked)
    assert {200} == {reply.status_code for reply in replies}
    assert 2 == own.stats()["logins"]


def test_the_token_stays_in_use_while_logins_fail(launch: Launch, own: StandIn) -> None:
    own.script("bad", {"refuse": "unauthorized", "repeat": True})
    proxy = launch(AGENTS, env=own.env)
    assert 200 == post(proxy, "good").status_code
    own.settings(login_failure_status=503)
    for _ in range(5):
        assert 502 == post(proxy, "bad").status_code
        assert 200 == post(proxy, "good").status_code
    stats = own.stats()
    assert (2, 1) == (stats["logins"], stats["logins_failed"]), "the first, and one that failed"
    assert "upstream_auth" == code_of(post(proxy, "bad"))


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_repeated_request_counts_in_the_quota(launch: Launch, own: StandIn, refusal: str) -> None:
    """Of three a minute the second is sent twice, so there is no fourth; the slot of the first try is free for it."""
    proxy = launch(AGENTS + QUOTA % 3, env=own.env)
    assert 200 == post(proxy, "good").status_code
    own.script("refused-once", {"refuse": refusal}, {"text": "Hi"})
    assert 200 == post(proxy, "good", "refused-once").status_code
    reply = post(proxy, "good", "late")
    assert (429, "rate_limit_exceeded") == (reply.status_code, code_of(reply))
    assert [] == own.requests("late")


def test_a_repeat_beyond_the_quota_is_not_sent(launch: Launch, own: StandIn) -> None:
    proxy = launch(AGENTS + QUOTA % 1, env=own.env)
    own.script("refused", {"refuse": "unauthorized", "repeat": True})
    reply = post(proxy, "good", "refused")
    assert (429, "rate_limit_exceeded") == (reply.status_code, code_of(reply))
    assert 1 == len(own.requests("refused"))


class Observer:
    def login(self, outcome: str, seconds: float, error: ProxyError | None) -> None: ...


async def test_refusals_renew_again_after_the_interval(own: StandIn) -> None:
    transport = Transport(1)
    url = f"{own.url}/acme/oidc/oauth/token"
    credentials = ClientCredentials(transport, url, "c", "s", Observer(), renewal_interval=0.2)
    try:
        first = await credentials.authorization()
        second = await credentials.renew(first)
        assert second not in (None, first)
        assert second == await credentials.renew(first), "it was replaced meanwhile"
        assert None is await credentials.renew(second)
        await asyncio.sleep(0.25)
        assert second != await credentials.renew(second)
        own.settings(login_failure_status=503)
        current = await credentials.authorization()
        await asyncio.sleep(0.25)
        with pytest.raises(UpstreamFailed):
            await credentials.renew(current)
        assert current == await credentials.authorization()
    finally:
        await credentials.close()
        await transport.close()
