"""The quota of an account through real processes: what StackSpot sees, and what callers get while it is short."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, ask, body
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow

MINUTE_S = 4.0
QUOTA = """\
model_list:
  - model_name: m
    litellm_params: {{model: stackspot/a}}
router_settings: {{num_retries: 0}}
proxy:
  quota: {{requests_per_minute: {requests}, max_concurrent: {concurrent}, queue_timeout: {timeout}}}
"""
TWO_ACCOUNTS = """\
model_list:
  - model_name: m
    litellm_params: {{model: stackspot/a, client_id: {first}}}
  - model_name: m
    litellm_params: {{model: stackspot/a, client_id: {second}}}
proxy:
  quota: {{requests_per_minute: 5, queue_timeout: 1}}
"""
SHARED = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/one, api_base: "{sick}", api_key: k}}
  - model_name: m
    litellm_params: {{model: openai/two, api_base: "{well}", api_key: k}}
router_settings: {{num_retries: 1, allowed_fails: 0, cooldown_time: 30}}
"""
KEYS = "\n  api_keys: [{name: ann, key: key-of-ann}, {name: bob, key: key-of-bob}, {name: eve, key: key-of-eve}]\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[StandIn]:
    """A simulator of one's own, whose limit concerns no other test."""
    process = StandIn(tmp_path)
    process.settings(interval_s=0)
    yield process
    process.stop()


def hurried(launch: Launch, own: StandIn, config: str, **env: str) -> Proxy:
    return launch(config, env=own.env | {"MINUTE_S": str(MINUTE_S)} | env, module="tests.support.hurried")


def account(own: StandIn, client: str = CREDENTIALS["CLIENT_ID"]) -> dict[str, Any]:
    reply = own.client.get("/_simulator/stats", params={"window_s": MINUTE_S})
    found: dict[str, Any] = reply.json()["accounts"].get(f"acme/{client}", {"requests": 0})
    return found


async def post(client: httpx.AsyncClient, id: str, key: str = "") -> httpx.Response:
    headers = {"correlation-id": id} | ({"authorization": f"Bearer {key}"} if key else {})
    return await client.post(PATH, headers=headers, json=body(model="m", stream=True))


async def test_a_burst_is_spread_and_nobody_refused(launch: Launch, own: StandIn) -> None:
    own.settings(rate_limit={"requests": 20, "window_s": MINUTE_S})
    proxy = hurried(launch, own, QUOTA.format(requests=20, concurrent=8, timeout=60))
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        replies = await asyncio.gather(*(post(client, f"burst-{number}") for number in range(50)))
    assert {200} == {reply.status_code for reply in replies}
    assert (50, 20) == (account(own)["requests"], account(own)["sliding_maximum"])
    assert 50 == proxy.metric("proxy_quota_wait_seconds_count")


async def test_who_cannot_be_served_in_time_is_told_at_once_and_truly(launch: Launch, own: StandIn) -> None:
    proxy = hurried(launch, own, QUOTA.format(requests=2, concurrent=8, timeout=0.5))
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        first = [await post(client, f"first-{number}") for number in range(2)]
        started = time.monotonic()
        refused = await post(client, "refused")
        took = time.monotonic() - started
        assert [200, 200, 429] == [reply.status_code for reply in (*first, refused)]
        assert 0.3 > took, "not after the time-out of the queue"
        assert "rate_limit_exceeded" == refused.json()["error"]["code"]
        wait = int(refused.headers["retry-after"])
        assert 3 <= wait <= 5
        await asyncio.sleep(wait)
        assert 200 == (await post(client, "again")).status_code


async def test_no_more_at_once_than_allowed(launch: Launch, own: StandIn) -> None:
    own.script("*", {"text": "ok", "before_events_s": 0.3, "repeat": True})
    proxy = hurried(launch, own, QUOTA.format(requests=1000, concurrent=2, timeout=10))
    started = time.monotonic()
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        replies = await asyncio.gather(*(post(client, f"slots-{number}") for number in range(6)))
    assert {200} == {reply.status_code for reply in replies}
    assert 0.9 <= time.monotonic() - started < 2.5
    assert 2 == own.stats()["open_streams_max"]


async def test_a_caller_that_leaves_the_queue_gives_its_place_back(launch: Launch, own: StandIn) -> None:
    proxy = hurried(launch, own, QUOTA.format(requests=1, concurrent=8, timeout=60))
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        assert 200 == (await post(client, "one")).status_code
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            await client.post(PATH, headers={"correlation-id": "left"}, json=body(model="m"), timeout=0.3)
        assert 200 == (await post(client, "two")).status_code
    assert time.monotonic() - started < MINUTE_S + 1, "the place of the one who left was taken"
    assert 2 == account(own)["requests"]
    assert 499 == proxy.wait_event(event="request.finished", correlation_id="left")["status"]
    assert 0 == proxy.metric("proxy_streams_in_flight")


async def test_the_account_with_the_shorter_wait_is_taken(launch: Launch, own: StandIn) -> None:
    proxy = hurried(launch, own, TWO_ACCOUNTS.format(first="c1", second="c2"))
    async with httpx.AsyncClient(base_url=proxy.url, timeout=30) as client:
        replies = [await post(client, f"shared-{number}") for number in range(11)]
    assert Counter({200: 10, 429: 1}) == Counter(reply.status_code for reply in replies)
    assert (5, 5) == (account(own, "c1")["requests"], account(own, "c2")["requests"])


@pytest.mark.parametrize("replicas", [1, 3])
async def test_double_demand(
    launch: Launch, own: StandIn, start_redis: Callable[..., RedisServer], replicas: int
) -> None:
    """Twice what the account may, from three keys: StackSpot never refuses, nearly nothing is left unused, and
    each key gets its part. Several replicas share by Redis."""
    allowed, requests, windows = 60, 54, 3  # as in the shipped config.yaml: 90 of the 100 that StackSpot allows
    own.settings(rate_limit={"requests": allowed, "window_s": MINUTE_S})
    config = QUOTA.format(requests=requests, concurrent=50, timeout=1) + KEYS
    env = {"REDIS_URL": start_redis().url} if replicas > 1 else {}
    fronts = [hurried(launch, own, config, **env) for _ in range(replicas)]
    served: Counter[str] = Counter()
    keys = ["key-of-ann", "key-of-bob", "key-of-eve"]
    interval = MINUTE_S / (2 * requests)
    async with asyncio.TaskGroup() as group, httpx.AsyncClient(timeout=30) as client:

        async def one(number: int) -> None:
            key = keys[number % 3]
            url = fronts[number // 3 % replicas].url + PATH
            headers = {"correlation-id": f"double-{number}", "authorization": f"Bearer {key}"}
            reply = await client.post(url, headers=headers, json=body(model="m"))
            assert reply.status_code in (200, 429), reply.text
            served[key] += reply.status_code == 200

        started = time.monotonic()
        tasks = []
        for number in range(int(windows * 2 * requests)):
            await asyncio.sleep(max(0.0, started + number * interval - time.monotonic()))
            tasks.append(group.create_task(one(number)))
        took = time.monotonic() - started
        used = account(own)
        await asyncio.gather(*tasks)
    assert 0 == own.stats()["rate_limited"]
    assert allowed >= account(own)["sliding_maximum"]
    assert allowed >= account(own)["fixed_maximum"]
    assert 0.95 <= used["requests"] / (requests * took / MINUTE_S)
    assert min(served.values()) >= 0.8 * max(served.values()), served


def test_redis_goes_away_and_comes_back(launch: Launch, own: StandIn, start_redis: Callable[..., RedisServer]) -> None:
    redis = start_redis()
    proxy = hurried(launch, own, QUOTA.format(requests=1000, concurrent=8, timeout=5), REDIS_URL=redis.url)
    assert 200 == ask(proxy, "with", model="m").status_code
    assert 1 == proxy.metric("proxy_shared_state_up")
    redis.kill()
    started = time.monotonic()
    assert 200 == ask(proxy, "without", model="m").status_code
    assert 2 > time.monotonic() - started
    proxy.wait_event(event="redis.lost")
    assert 0 == proxy.metric("proxy_shared_state_up")
    start_redis(port=redis.port)
    proxy.wait_event(event="redis.restored", seconds=10)
    assert 1 == proxy.metric("proxy_shared_state_up")
    assert 200 == ask(proxy, "again", model="m").status_code


def test_replicas_share_cool_downs(launch: Launch, start_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    """What one replica found out about a deployment, the other one knows a second later."""
    sick, well = Provider(tmp_path), Provider(tmp_path)
    try:
        env = {"REDIS_URL": start_redis().url}
        one, other = (launch(SHARED.format(sick=sick.base_url, well=well.base_url), env=env) for _ in range(2))
        sick.script("*", {"status": 503, "repeat": True})
        for number in range(20):
            assert 200 == ask(one, f"one-{number}", model="m").status_code
        assert 1 == len(sick.requests()), "left alone after the first failure"
        time.sleep(1.5)
        for number in range(20):
            assert 200 == ask(other, f"other-{number}", model="m").status_code
        assert 1 == len(sick.requests())
    finally:
        sick.stop()
        well.stop()


def test_redis_is_not_there_at_the_start(launch: Launch, own: StandIn) -> None:
    config = QUOTA.format(requests=1000, concurrent=8, timeout=5)
    proxy = hurried(launch, own, config, REDIS_URL="redis://:planted-redis-password@127.0.0.1:1/0")
    assert 200 == ask(proxy, "alone", model="m").status_code
    proxy.wait_event(event="redis.lost")
    assert "planted-redis-password" not in proxy.output


@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_key_with_a_limit(
    launch: Launch, own: StandIn, start_redis: Callable[..., RedisServer], replicas: int
) -> None:
    """Its requests beyond are refused, those of other keys are not; replicas count together."""
    keys = "proxy:\n  api_keys: [{name: ann, key: key-of-ann, requests_per_minute: 3}, {name: bob, key: key-of-bob}]\n"
    config = "model_list:\n  - {model_name: m, litellm_params: {model: stackspot/a}}\n" + keys
    env = {"REDIS_URL": start_redis().url} if replicas > 1 else {}
    fronts = [hurried(launch, own, config, **env) for _ in range(replicas)]
    async with httpx.AsyncClient(timeout=30) as client:

        async def ask(number: int, name: str) -> httpx.Response:
            headers = {"correlation-id": f"{name}-{number}", "authorization": f"Bearer key-of-{name}"}
            return await client.post(fronts[number % replicas].url + PATH, headers=headers, json=body(model="m"))

        replies = [await ask(number, "ann") for number in range(4)]
        assert [200, 200, 200, 429] == [reply.status_code for reply in replies]
        assert "rate_limit_exceeded" == replies[-1].json()["error"]["code"]
        assert [200] * 5 == [(await ask(number, "bob")).status_code for number in range(5)]
        await asyncio.sleep(int(replies[-1].headers["retry-after"]))
        assert 200 == (await ask(0, "ann")).status_code
    line = fronts[0].wait_event(event="request.finished", correlation_id="ann-0")
    assert "ann" == line["caller"]
    assert not any("key-of-" in front.output for front in fronts)
