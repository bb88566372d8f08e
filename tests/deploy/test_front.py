"""The shipped nginx before three real replicas with a real Redis: what callers notice of it, which is to be nothing."""

import itertools
import queue
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deploy.front import Nginx, Replica
from tests.faults.caller import Told, ask
from tests.faults.front import Scripts
from tests.faults.upstream import Beside, Exchange, Steps, Upstream
from tests.faults.wire import LAST, STACKSPOT, chunk
from tests.support.chat import PATH, body
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tools import require

CONFIG = """\
model_list:
  - model_name: stackspot-ai-chat
    litellm_params: {model: stackspot/agent}
router_settings: {num_retries: 0}
proxy:
  quota: {requests_per_minute: 100000, max_concurrent: 1000, queue_timeout: 5}
  drain_timeout: 3
"""
WORDS = 12
TEXT = "word " * WORDS
PAUSE_S = 0.02
LONG = "long"
CALLERS = 12
SEEN_AGAIN_S = 2.2  # replicas.conf says why


def spoken(exchange: Exchange) -> Steps:
    """An answer of a quarter of a second, or of one and a half."""
    pause = 0.12 if exchange.correlation_id.startswith(LONG) else PAUSE_S
    yield STACKSPOT.head
    for word in TEXT.split():
        yield chunk(STACKSPOT.delta(f"{word} "))
        yield pause
    yield chunk(STACKSPOT.closing) + LAST


class Answers(Scripts):
    """What a test has not scripted is spoken."""

    def __call__(self, exchange: Exchange) -> Steps:
        return super().__call__(exchange) if exchange.correlation_id in self._answers else spoken(exchange)


@dataclass(frozen=True)
class Installation:
    nginx: Nginx
    replicas: list[Replica]
    redis: RedisServer
    upstream: Upstream
    answers: Answers

    def ask(self, correlation_id: str, **fields: object) -> Told:
        return ask(self.nginx.url, correlation_id, timeout=15, **fields)

    def logged(self, **wanted: object) -> list[dict[str, object]]:
        return [event for replica in self.replicas for proxy in replica.starts for event in proxy.events(**wanted)]

    def serving(self, correlation_id: str) -> Replica:
        """The replica that took a request on."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for replica in self.replicas:
                if replica.now.events(event="sse.connected", correlation_id=correlation_id):
                    return replica
            time.sleep(0.01)
        raise AssertionError(f"nobody serves {correlation_id}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    require("redis", "nginx")
    folder = tmp_path_factory.mktemp("front")
    redis = RedisServer(folder, port=free_port())
    answers = Answers()
    upstream = Upstream(answers)
    with Beside(upstream):
        env = {"STACKSPOT_IDM_URL": upstream.url, "STACKSPOT_API_URL": upstream.url, "REDIS_URL": redis.url}
        with ThreadPoolExecutor(3) as pool:
            replicas = list(pool.map(lambda number: Replica(folder / f"{number}", CONFIG, env), range(3)))
        nginx = Nginx(folder, [f"127.0.0.1:{replica.port}" for replica in replicas])
        try:
            yield Installation(nginx, replicas, redis, upstream, answers)
        finally:
            nginx.stop()
            for replica in replicas:
                replica.now.stop()
            if redis.process.poll() is None:
                redis.stop()


def test_nginx_is_content(installed: Installation) -> None:
    done = subprocess.run([*installed.nginx.command, "-t"], capture_output=True, text=True, timeout=10)
    assert (0, True) == (done.returncode, "test is successful" in done.stderr), done.stderr
    assert "[warn]" not in done.stderr


def test_a_token_is_there_before_the_next_one_is_made(installed: Installation, correlation_id: str) -> None:
    """The upstream says nothing more until the caller has what it said: whoever holds a token back, holds all."""
    read: queue.Queue[str] = queue.Queue()

    def one_by_one() -> Steps:
        yield STACKSPOT.head
        for number in range(20):
            yield chunk(STACKSPOT.delta(f"<{number}>"))
            try:
                while f"<{number}>" not in read.get(timeout=5):
                    pass
            except queue.Empty:
                yield "close"
        yield chunk(STACKSPOT.closing) + LAST

    installed.answers.put(correlation_id, one_by_one())
    headers = {"correlation-id": correlation_id, "accept-encoding": "gzip"}
    with installed.nginx.client.stream("POST", PATH, headers=headers, json=body(stream=True)) as reply:
        lines = []
        for line in reply.iter_lines():
            lines.append(line)
            read.put(line)
    assert ["data: [DONE]", ""] == lines[-2:]
    assert 1 == installed.upstream.posts_of(correlation_id)


def test_what_goes_along(installed: Installation, correlation_id: str) -> None:
    told = installed.ask(correlation_id, stream=True)
    assert (200, TEXT, True) == (told.status, told.text, told.complete)
    assert (correlation_id, "text/event-stream; charset=utf-8", "no-cache") == (
        told.headers["correlation-id"], told.headers["content-type"], told.headers["cache-control"],
    )  # fmt: skip
    assert [correlation_id] == [exchange.correlation_id for exchange in installed.upstream.of(correlation_id)]
    assert told.headers["x-request-id"] in installed.nginx.wait_for(rf'"{correlation_id}","request_id":"(\w+)"')[1]
    refused = httpx.post(installed.nginx.url + PATH, json=body(), trust_env=False)
    assert (400, "correlation_id_missing") == (refused.status_code, refused.json()["error"]["code"])
    assert 404 == installed.nginx.client.get("/metrics").status_code
    assert 200 == installed.nginx.client.get("/ready").status_code


def test_pages_behind_the_front_are_the_proxys_own(installed: Installation, correlation_id: str) -> None:
    """The front passes the port of ``Host`` on, which is in the ``Origin`` of its pages."""
    statuses = []
    for origin in (installed.nginx.url, "http://127.0.0.1", "http://evil.example"):
        headers = {"correlation-id": correlation_id, "origin": origin}
        statuses.append(installed.nginx.client.post(PATH, headers=headers, json=body()).status_code)
    assert [200, 403, 403] == statuses


def test_the_proxy_refuses_what_is_too_large(installed: Installation, correlation_id: str) -> None:
    told = installed.ask(correlation_id, messages=[{"role": "user", "content": "x" * (10 * 2**20)}])
    assert (413, "request_too_large") == (told.status, told.code)


def test_a_caller_that_leaves_ends_it_all(installed: Installation, correlation_id: str) -> None:
    installed.answers.put(correlation_id, [STACKSPOT.head + chunk(STACKSPOT.part), "hold"])
    headers = {"correlation-id": correlation_id}
    with installed.nginx.client.stream("POST", PATH, headers=headers, json=body(stream=True)) as reply:
        next(reply.iter_lines())
    assert ["left"] == [exchange.end for exchange in installed.upstream.wait_over(correlation_id, 3)]


def test_a_replica_that_drains_is_passed_over(installed: Installation, correlation_id: str) -> None:
    """Also with a large body, and nothing is sent upstream twice."""
    held = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        for number in range(3):  # all are equally busy, so the one that drains has its turn
            installed.answers.put(f"{correlation_id}-held-{number}", _until(held))
        under_way = [pool.submit(installed.ask, f"{correlation_id}-held-{number}", stream=True) for number in range(3)]
        busy = [installed.serving(f"{correlation_id}-held-{number}") for number in range(3)]
        assert set(busy) == set(installed.replicas)
        busy[0].now.process.send_signal(signal.SIGTERM)
        busy[0].now.wait_event(event="shutdown.draining")
        for number in range(12):
            name = f"{correlation_id}-{number}"
            installed.answers.put(name, STACKSPOT.whole())
            message = {"role": "user", "content": "x" * (5 * 2**20 if number < 3 else 1)}
            told = installed.ask(name, stream=bool(number % 2), messages=[message])
            assert (200, "abcdef", True) == (told.status, told.text, told.complete), (number, told.body[:300])
            assert 1 == installed.upstream.posts_of(name)
        assert busy[0].refusals() > 0, "nobody asked it"
        held.set()
        for asked in under_way:
            assert (200, "abcdef", True) == ((told := asked.result()).status, told.text, told.complete)
    assert 0 == busy[0].now.wait()
    busy[0].start()


def test_a_reload_cuts_nothing(installed: Installation, correlation_id: str) -> None:
    held = threading.Event()
    installed.answers.put(correlation_id, _until(held))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(installed.ask, correlation_id, stream=True)
        installed.serving(correlation_id)
        subprocess.run([*installed.nginx.command, "-s", "reload"], check=True, capture_output=True, timeout=10)
        assert _whole(installed.ask(f"{correlation_id}-new", stream=True))
        held.set()
        assert (200, "abcdef", True) == ((told := asked.result()).status, told.text, told.complete)


def test_what_was_begun_is_not_begun_again(installed: Installation, correlation_id: str) -> None:
    """Neither when the drain is over before an answer is, nor when the replica dies: that may have generated."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        name = f"{correlation_id}-{number.name}"
        installed.answers.put(name, [STACKSPOT.head, "hold"])
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(installed.ask, name, stream=False)
            replica = installed.serving(name)
            replica.now.process.send_signal(number)
            told = asked.result()
        expected = (504, "shutting_down") if number == signal.SIGTERM else (502, None)
        assert expected == (told.status, told.code if told.status == 504 else None)
        assert 1 == installed.upstream.posts_of(name)
        replica.now.wait()
        replica.start()


def test_a_rolling_restart_under_load(installed: Installation, correlation_id: str) -> None:
    """All three, one behind the other, while callers ask on: nobody is refused, nothing is cut, nothing sent twice."""
    rolled = threading.Event()
    count = itertools.count()
    before = [replica.refusals() for replica in installed.replicas]

    def call_on() -> list[tuple[str, Told]]:
        got = []
        while not rolled.is_set():
            number = next(count)
            name = f"{LONG if number % 5 == 0 else 'short'}-{correlation_id}-{number}"
            got.append((name, installed.ask(name, stream=number % 3 != 0)))
        return got

    with ThreadPoolExecutor(CALLERS) as pool:
        asked: list[Future[list[tuple[str, Told]]]] = [pool.submit(call_on) for _ in range(CALLERS)]
        try:
            time.sleep(0.3)
            for replica in installed.replicas:
                replica.restart()
                time.sleep(SEEN_AGAIN_S)
        finally:
            rolled.set()
        told = [each for future in as_completed(asked) for each in future.result()]
    wrong = Counter((it.status, it.body[-200:]) for _, it in told if not _whole(it))
    assert not wrong, f"{wrong.most_common(3)} of {len(told)}"
    assert len(told) > 100
    assert {1} == {installed.upstream.posts_of(name) for name, _ in told}
    assert sum(replica.refusals() for replica in installed.replicas) > sum(before), "no request came while one drained"


def test_redis_goes_and_comes_back(installed: Installation, correlation_id: str) -> None:
    proxies = [replica.now for replica in installed.replicas]
    assert [1.0] * 3 == [proxy.metric("proxy_shared_state_up") for proxy in proxies]
    installed.redis.kill()
    for number in range(9):
        told = installed.ask(f"{correlation_id}-{number}", stream=True)
        assert (200, TEXT, True) == (told.status, told.text, told.complete), told.body
    for proxy in proxies:
        proxy.wait_event(event="redis.lost")
        assert 0 == proxy.metric("proxy_shared_state_up")
    back = RedisServer(Path(installed.nginx.command[2]), port=installed.redis.port)
    try:
        for proxy in proxies:
            proxy.wait_event(event="redis.restored", seconds=10)
        told = installed.ask(f"{correlation_id}-again", stream=True)
        assert (200, TEXT, True) == (told.status, told.text, told.complete), told.body
        assert [1.0] * 3 == [proxy.metric("proxy_shared_state_up") for proxy in proxies]
    finally:
        back.stop()


def _whole(told: Told) -> bool:
    return told.status == 200 and told.ended and told.complete and told.text == TEXT


def _until(held: threading.Event) -> Steps:
    yield STACKSPOT.head + chunk(STACKSPOT.part)
    while not held.is_set():
        yield 0.05
    yield chunk(STACKSPOT.rest) + LAST
