"""The response cache through real processes: what is given again, to whom, in which form, and what never is."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.conftest import Launch
from tests.support.chat import PATH, WEATHER_TOOL, body, finish_of, frames, text_of
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - model_name: m
    aliases: [short]
    litellm_params: {model: stackspot/agent}
  - model_name: other
    litellm_params: {model: stackspot/agent}
router_settings: {num_retries: 0}
proxy:
  quota: {requests_per_minute: 10000}
  api_keys: [{name: ann, key: key-of-ann}, {name: bob, key: key-of-bob}]
  cache: {models: [m], ttl_s: 60, max_answer_kb: 4}
"""
LENT = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/x, api_base: "{url}", api_key: k}}
proxy:
  cache: {{models: [m]}}
"""


CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END'
_NUMBERS = itertools.count(1)


class Cached:
    """A proxy with a cache, and what StackSpot was asked under this test's id. Its texts are asked by no other test."""

    def __init__(self, proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
        self.proxy = proxy
        self.id = correlation_id
        self._stand_in = stand_in

    def post(
        self, text: str = "Hi", key: str = "ann", headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        sent = {"correlation-id": self.id, "authorization": f"Bearer key-of-{key}"} | (headers or {})
        return self.proxy.client.post(PATH, headers=sent, json=body(f"{text} {self.id}", **({"model": "m"} | fields)))

    @property
    def asked(self) -> int:
        return len(self._stand_in.requests(self.id))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self.proxy.events(event="request.finished", correlation_id=self.id)


@pytest.fixture(scope="module", params=["memory", "redis"])
def front(
    request: pytest.FixtureRequest, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("cache")
    (folder / "config.yaml").write_text(CONFIG)
    shared = {"REDIS_URL": request.getfixturevalue("redis_server").url} if request.param == "redis" else {}
    process = Proxy(env=CREDENTIALS | stand_in.env | shared, cwd=folder)
    yield process
    assert process.stop() == 0


@pytest.fixture
def cached(front: Proxy, stand_in: StandIn, correlation_id: str) -> Cached:
    stand_in.script(correlation_id, {"text": "Olá, mundo!", "repeat": True})
    return Cached(front, stand_in, correlation_id)


def seen(reply: httpx.Response) -> str:
    assert 200 == reply.status_code, reply.text
    return reply.headers["x-proxy-cache"]


def words(reply: httpx.Response) -> tuple[str, str | None]:
    """The text and the end of an answer, in whichever form."""
    if "event-stream" in reply.headers["content-type"]:
        found = frames(reply)
        assert "[DONE]" == found[-1]
        return text_of(found), finish_of(found)
    choice = reply.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def test_the_same_request_is_answered_once_in_both_forms(cached: Cached, stand_in: StandIn) -> None:
    first = cached.post(text="Olá", stream=True)
    assert "miss" == seen(first)
    whole, again = cached.post(text="Olá"), cached.post(text="Olá", stream=True, user="u", metadata={"a": "b"})
    by_alias = cached.post(text="Olá", model="short", stream_options=None)
    assert ["hit", "hit", "hit"] == [seen(reply) for reply in (whole, again, by_alias)]
    assert {words(first)} == {words(reply) for reply in (whole, again, by_alias)}
    assert 1 == cached.asked
    assert whole.json()["usage"]["completion_tokens"] > 0
    assert whole.headers["x-request-id"] in whole.json()["id"]
    assert first.headers["x-proxy-upstream-model"] == whole.headers["x-proxy-upstream-model"]


def test_what_it_is_seen_by(cached: Cached) -> None:
    def counted() -> list[float]:
        outcomes = ("miss", "hit", "bypass")
        return [
            *(cached.proxy.metric("proxy_cache_requests_total", model="m", outcome=outcome) for outcome in outcomes),
            cached.proxy.metric("proxy_quota_wait_seconds_count"),
            cached.proxy.metric("proxy_stream_ends_total", model="m", reason="complete"),
            cached.proxy.metric("proxy_tokens_total", model="m", type="completion"),
        ]

    before = counted()
    for headers in ({}, {}, {}, {"cache-control": "no-cache"}):
        cached.post(headers=headers)
    cached.proxy.wait_event(event="request.finished", correlation_id=cached.id, cache="bypass")
    lines = cached.lines
    assert ["miss", "hit", "hit", "bypass"] == [line["cache"] for line in lines]
    assert [1, 0, 0, 1] == [line["rounds"] for line in lines]
    generated = sum(line["completion_tokens"] for line in lines if line["cache"] != "hit")
    assert lines[0]["completion_tokens"] == lines[1]["completion_tokens"] > 0
    assert [1, 2, 1, 2, 4, generated] == [now - then for then, now in zip(before, counted(), strict=True)]


def test_the_chat_service_says_who_answered_as_well(cached: Cached) -> None:
    sent = {"correlation-id": cached.id, "authorization": "Bearer key-of-ann"}
    asked = {"model": "m", "messages": [{"role": "user", "content": f"Hi {cached.id}"}]}
    first, again = (cached.proxy.client.post("/chat", headers=sent, json=asked) for _ in range(2))
    assert ["miss", "hit"] == [seen(reply) for reply in (first, again)]
    assert first.json() | {"latency_ms": 0} == again.json() | {"latency_ms": 0}
    assert ("stackspot", "agent") == (again.json()["provider"], again.json()["model"])


def test_tool_calls_are_given_again(cached: Cached, stand_in: StandIn) -> None:
    stand_in.script(cached.id, {"text": CALL, "repeat": True})
    replies = [cached.post(text="Recife?", tools=[WEATHER_TOOL], stream=stream) for stream in (False, True, False)]
    assert ["miss", "hit", "hit"] == [seen(reply) for reply in replies]
    first, streamed, again = replies
    calls = first.json()["choices"][0]["message"]["tool_calls"]
    assert calls == again.json()["choices"][0]["message"]["tool_calls"]
    assert "get_weather" == calls[0]["function"]["name"]
    assert ("", "tool_calls") == words(streamed)
    assert calls[0]["id"] in streamed.text


DIFFERENT: dict[str, dict[str, Any]] = {
    "another text": {"text": "Hi!"},
    "a parameter": {"temperature": 0.5},
    "one that is not known here": {"x_unknown": 1},
    "another key": {"key": "bob"},
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_not_the_same(cached: Cached, case: str) -> None:
    assert "miss" == seen(cached.post(text="Hi"))
    assert "miss" == seen(cached.post(**({"text": "Hi"} | DIFFERENT[case])))
    assert "hit" == seen(cached.post(**({"text": "Hi"} | DIFFERENT[case])))


def test_what_callers_can_say(cached: Cached) -> None:
    private = {"cache-control": "private, No-Store"}
    assert ["miss", "miss"] == [seen(cached.post(text="a", headers=private)) for _ in range(2)]
    afresh = {"cache-control": "no-cache"}
    assert ["miss", "miss", "hit"] == [
        seen(cached.post(text="b", headers=headers)) for headers in (afresh, afresh, None)
    ]


def test_models_that_are_not_listed_are_not_touched(cached: Cached) -> None:
    replies = [cached.post(model="other") for _ in range(2)]
    assert all("x-proxy-cache" not in reply.headers for reply in replies)
    assert 2 == cached.asked


FAILED: dict[str, dict[str, Any]] = {
    "truncated": {"deltas": ["One ", "two "], "cut": {"how": "close", "after": 2}},
    "broken off": {"deltas": ["One ", "two "], "cut": {"how": "reset", "after": 1}},
    "an error": {"status": 500},
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("case", FAILED)
def test_what_went_wrong_is_never_given_again(cached: Cached, stand_in: StandIn, case: str, stream: bool) -> None:
    stand_in.script(cached.id, FAILED[case], {"text": "whole"})
    failed = cached.post(stream=stream)
    assert failed.status_code != 200 or '"error"' in failed.text
    good = cached.post(stream=stream)
    assert ("miss", ("whole", "stop")) == (seen(good), words(good))
    assert ("hit", ("whole", "stop")) == (seen(again := cached.post(stream=stream)), words(again))


def test_a_fallback_does_not_answer_for_good(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    config = CONFIG.replace("{num_retries: 0}", "{num_retries: 0, fallbacks: [{m: [other]}]}")
    cached = Cached(launch(config), stand_in, correlation_id)
    stand_in.script(correlation_id, {"status": 500}, {"text": "spare"}, {"text": "own"})
    replies = [cached.post() for _ in range(3)]
    assert ["spare", "own", "own"] == [words(reply)[0] for reply in replies]
    assert ["miss", "miss", "hit"] == [seen(reply) for reply in replies]


def test_large_answers_are_not_kept(cached: Cached, stand_in: StandIn) -> None:
    stand_in.script(cached.id, {"deltas": ["x" * 5000], "repeat": True})
    assert ["miss", "miss"] == [seen(cached.post()) for _ in range(2)]


def test_a_caller_that_leaves_leaves_nothing(cached: Cached, stand_in: StandIn) -> None:
    stand_in.script(cached.id, {"deltas": ["One ", "two ", "three"], "interval_s": 0.2}, {"text": "whole"})
    sent = {"correlation-id": cached.id, "authorization": "Bearer key-of-ann"}
    with cached.proxy.client.stream(
        "POST", PATH, headers=sent, json=body(f"Hi {cached.id}", model="m", stream=True)
    ) as reply:
        next(reply.iter_lines())
    cached.proxy.wait_event(event="request.finished", end_reason="client_disconnect", correlation_id=cached.id)
    assert "miss" == seen(cached.post(stream=True))


def test_another_configuration_has_other_answers(
    launch: Launch, stand_in: StandIn, tmp_path: Path, correlation_id: str
) -> None:
    cached = Cached(launch(CONFIG), stand_in, correlation_id)

    def change(text: str) -> None:
        cached.proxy.lines.clear()
        (tmp_path / "config.yaml").write_text(text)
        cached.proxy.wait_event(15, event="config.reloaded")

    assert ["miss", "hit"] == [seen(cached.post()) for _ in range(2)]
    change(CONFIG.replace("ttl_s: 60", "ttl_s: 61"))
    assert "hit" == seen(cached.post()), "what was kept lasts"
    change(CONFIG.replace("proxy:\n", "proxy:\n  enforce_max_tokens: true\n"))
    assert "miss" == seen(cached.post())


def test_it_is_over_after_a_while(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(CONFIG.replace("ttl_s: 60", "ttl_s: 0.3"))
    cached = Cached(proxy, stand_in, correlation_id)
    stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    assert ["miss", "hit"] == [seen(cached.post()) for _ in range(2)]
    time.sleep(0.4)
    assert "miss" == seen(cached.post())


def wait_kept(server: RedisServer, count: int) -> list[bytes]:
    """The keys of answers in Redis, once there are so many."""
    with Redis.from_url(server.url) as client:
        for _ in range(500):
            found = [key for key in client.keys("*{cache}*") if len(key.rpartition(b":")[2]) == 64]
            if len(found) >= count:
                return found
            time.sleep(0.01)
    raise AssertionError("they are not there")


def shares(one: Cached, two: Cached) -> bool:
    """What one replica was answered comes to the other."""
    text = f"shared {next(_NUMBERS)}"
    one.post(text=text)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        if "hit" == seen(two.post(text=text, headers={"cache-control": "no-store"})):
            return True
    return False


def test_replicas_share_it_and_none_needs_it(
    launch: Launch, stand_in: StandIn, start_redis: Callable[..., RedisServer], correlation_id: str
) -> None:
    redis = start_redis()
    env = {"REDIS_URL": redis.url}
    stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    one, two = (Cached(launch(CONFIG, env=env), stand_in, correlation_id) for _ in range(2))
    assert shares(one, two)
    redis.kill()
    assert ["miss", "miss", "miss"] == [seen(replica.post()) for replica in (one, two, one)]
    for replica in (one, two):
        replica.proxy.wait_event(event="redis.lost")
        assert not replica.proxy.events(event="request.failed")
    start_redis(port=redis.port)
    one.proxy.wait_event(event="redis.restored", seconds=10)
    two.proxy.wait_event(event="redis.restored", seconds=10)
    assert any(shares(one, two) for _ in range(10)), "connections from before may have to be found broken first"


def test_a_redis_that_hangs_costs_a_second_at_most(
    launch: Launch, stand_in: StandIn, start_redis: Callable[..., RedisServer], correlation_id: str
) -> None:
    redis = start_redis()
    stand_in.script(correlation_id, {"text": "Hi", "repeat": True})
    cached = Cached(launch(CONFIG, env={"REDIS_URL": redis.url}), stand_in, correlation_id)
    assert "miss" == seen(cached.post())
    wait_kept(redis, 1)
    redis.hang()
    assert ["miss", "miss"] == [seen(cached.post()) for _ in range(2)]


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    process = Provider(tmp_path)
    yield process
    process.stop()


def test_relayed_answers_are_given_again_as_they_came(launch: Launch, provider: Provider) -> None:
    """A stream to who wants a stream, a body to who wants a body: what the provider adds of its own is in both."""
    proxy = launch(LENT.format(url=provider.base_url))

    def post(**fields: Any) -> httpx.Response:
        return proxy.client.post(PATH, headers={"correlation-id": "c"}, json=body(model="m", **fields))

    usage = {"stream": True, "stream_options": {"include_usage": True}}
    asked = [{}, {"stream": True}, usage]
    first, again = [post(**fields) for fields in asked], [post(**fields) for fields in asked]
    assert [["miss"] * 3, ["hit"] * 3] == [[seen(reply) for reply in replies] for replies in (first, again)]
    assert [reply.content for reply in first] == [reply.content for reply in again]
    assert 3 == len(provider.requests("c"))
    provider.script("c", {"text": "One two", "cut": {"how": "close", "after": 1}})
    assert '"error"' in post(text="cut", stream=True).text
    assert "miss" == seen(post(text="cut", stream=True))
