"""A healthy fallback is not kept waiting while the account of a StackSpot model is paused or its queue is long."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.processes import Proxy, StandIn
from tests.support.provider.process import Provider

pytestmark = pytest.mark.slow

MODELS = """\
model_list:
  - model_name: agent
    litellm_params: {{model: stackspot/agent}}
  - model_name: spare
    litellm_params: {{model: openai/spare, api_base: "{base}", api_key: k}}
  - model_name: second
    litellm_params: {{model: stackspot/agent, client_id: second}}
router_settings:
  fallbacks: [{{agent: [{fallback}]}}]
proxy:
  quota: {{requests_per_minute: {requests}, max_concurrent: {concurrent}, queue_timeout: 60}}
"""
BOUND_S = 15.0
"""Far below the queue's time-out and what the pauses would add up to; far above what a busy machine needs."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    process = StandIn(tmp_path_factory.mktemp("own"))
    process.settings(interval_s=0)
    yield process
    process.stop()


def config(provider: Provider, requests: int = 90, concurrent: int = 8, fallback: str = "spare") -> str:
    return MODELS.format(base=provider.base_url, requests=requests, concurrent=concurrent, fallback=fallback)


async def ask_all(proxy: Proxy, ids: list[str]) -> tuple[list[httpx.Response], float]:
    """The replies and the seconds until the last."""
    started = time.monotonic()
    async with httpx.AsyncClient(base_url=proxy.url, timeout=90) as client:
        asked = (client.post(PATH, headers={"correlation-id": name}, json=body(model="agent")) for name in ids)
        replies = await asyncio.gather(*asked)
    return replies, time.monotonic() - started


def models_of(replies: list[httpx.Response]) -> list[str]:
    return [reply.headers.get("x-proxy-upstream-model", str(reply.status_code)) for reply in replies]


async def test_while_the_account_answers_429(launch: Launch, own: StandIn, provider: Provider) -> None:
    proxy = launch(config(provider), env=own.env)
    ids = [f"limited-{number}" for number in range(12)]
    for name in ids:
        own.script(name, {"refuse": "rate_limited", "repeat": True})
    found: list[httpx.Response] = []
    started = time.monotonic()
    for name in ids[:4]:
        found += (await ask_all(proxy, [name]))[0]
    found += (await ask_all(proxy, ids[4:]))[0]
    assert ["openai/spare"] * 12 == models_of(found)
    assert time.monotonic() - started < BOUND_S
    line = proxy.wait_event(event="upstream.fell_back", correlation_id=ids[-1])
    assert ("agent", "spare", "rate_limit_exceeded") == (line["model"], line["to"], line["code"])
    assert [] == own.requests(ids[-1]), "nothing was sent to an account that is paused"


async def test_while_the_window_is_taken(launch: Launch, own: StandIn, provider: Provider) -> None:
    proxy = launch(config(provider, requests=2), env=own.env)
    replies, seconds = await ask_all(proxy, [f"window-{number}" for number in range(10)])
    assert ["openai/spare"] * 8 + ["stackspot/agent"] * 2 == sorted(models_of(replies))
    assert seconds < BOUND_S


async def test_while_the_slots_are_taken(launch: Launch, own: StandIn, provider: Provider) -> None:
    """How long they will be is only estimated, so a request may wait a little first."""
    proxy = launch(config(provider, concurrent=1), env=own.env)
    ids = [f"slots-{number}" for number in range(6)]
    for name in ids:
        own.script(name, {"text": "Hi", "before_status_s": 30})
    async with httpx.AsyncClient(base_url=proxy.url, timeout=90) as client:
        first = asyncio.create_task(client.post(PATH, headers={"correlation-id": ids[0]}, json=body(model="agent")))
        while not own.requests(ids[0]):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        replies, seconds = await ask_all(proxy, ids[1:])
        first.cancel()
    assert ["openai/spare"] * 5 == models_of(replies)
    assert seconds < BOUND_S


async def test_a_fallback_on_an_account_of_its_own(launch: Launch, own: StandIn, provider: Provider) -> None:
    """Both windows take one: the second request goes to the account that is free."""
    proxy = launch(config(provider, requests=1, fallback="second"), env=own.env)
    replies, _ = await ask_all(proxy, ["both-0", "both-1"])
    assert [200, 200] == [reply.status_code for reply in replies]
    assert 1 == len(own.requests("both-0"))
    assert 1 == len(own.requests("both-1"))
    logins = own.stats()["accounts"]
    assert {"acme/second": 1, "acme/the-client": 1} == {name: found["requests"] for name, found in logins.items()}


async def test_without_a_fallback_it_waits(launch: Launch, own: StandIn, provider: Provider) -> None:
    text = config(provider).replace("  fallbacks: [{agent: [spare]}]", "  num_retries: 1")
    proxy = launch(text, env=own.env)
    own.script("alone", {"refuse": "rate_limited"}, {"text": "Hi"})
    replies, seconds = await ask_all(proxy, ["alone"])
    assert ["stackspot/agent"] == models_of(replies)
    assert seconds > 4, "the pause"
