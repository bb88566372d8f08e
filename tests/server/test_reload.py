"""A configuration that changes while the proxy serves: nobody notices but by what has changed."""

import asyncio
import itertools
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, ask, body, frames, text_of
from tests.support.processes import Proxy, StandIn

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - model_name: m
    litellm_params: {{model: stackspot/{version}}}
router_settings: {{num_retries: 0}}
proxy:
  correlation: {{header: x-{version}, required: false}}
  {more}
"""
CHANGES, STREAMS, CALLERS = 20, 1000, 32
CONTENT = re.compile(r'"content":"([^"]+)"')


@pytest.fixture(autouse=True)
def quick(stand_in: StandIn) -> Iterator[None]:
    stand_in.script("*", {"text": "Hi", "repeat": True})
    yield
    stand_in.script("*")


def config(version: str, more: str = "") -> str:
    return CONFIG.format(version=version, more=more)


def answered_by(reply: httpx.Response) -> str:
    """The deployment that answered, by its name in the configuration; see ``config``."""
    return reply.headers["x-proxy-upstream-model"].removeprefix("stackspot/")


async def reloads(proxy: Proxy, count: int, event: str = "config.reloaded") -> None:
    async with asyncio.timeout(30):
        while len(proxy.events(event=event)) < count:  # noqa: ASYNC110 - of a log
            await asyncio.sleep(0.01)


async def test_under_load_every_answer_is_whole_and_by_one_configuration(
    launch: Launch, stand_in: StandIn, tmp_path: Path
) -> None:
    proxy = launch(config("v0"), env={"LOG_LEVEL": "INFO"})
    stand_in.script("*", {"deltas": ["one ", "two ", "three"], "interval_s": 0.02, "repeat": True})
    numbers, seen, answered, changing = itertools.count(), set(), 0, True

    async def caller(client: aiohttp.ClientSession) -> None:
        nonlocal answered
        while next(numbers) < STREAMS or changing:
            async with client.post(PATH, json=body(model="m", stream=True)) as reply:
                assert 200 == reply.status
                text = await reply.text()
                assert "one two three" == "".join(CONTENT.findall(text))
                assert text.endswith("data: [DONE]\n\n")
                version = reply.headers["x-proxy-upstream-model"].removeprefix("stackspot/")
                assert f"x-{version}" in reply.headers, "the target of one configuration, the header of another"
                seen.add(version)
                answered += 1

    async def change() -> None:
        nonlocal changing
        for number in range(1, CHANGES + 1):
            (tmp_path / "next.yaml").write_text(config(f"v{number}"))
            (tmp_path / "next.yaml").replace(tmp_path / "config.yaml")
            proxy.process.send_signal(signal.SIGHUP)
            await reloads(proxy, number)
            await asyncio.sleep(0.02)
        changing = False

    async with aiohttp.ClientSession(proxy.url) as client:
        await asyncio.gather(change(), *(caller(client) for _ in range(CALLERS)))
    assert STREAMS <= answered
    async with asyncio.timeout(10):  # what was counted lasts
        while answered != proxy.metric("proxy_stream_ends_total", reason="complete"):  # noqa: ASYNC110 - of a process
            await asyncio.sleep(0.1)
    assert len(seen) > CHANGES / 4
    assert 1 == len(proxy.events(event="auth.succeeded")), "the token lasts"
    assert 0 == proxy.stop()
    assert ["complete"] * answered == [line["end_reason"] for line in proxy.events(event="request.finished")]


def test_a_stream_under_way_ends_by_the_configuration_it_began_with(
    launch: Launch, stand_in: StandIn, tmp_path: Path, correlation_id: str
) -> None:
    before = config("v0", "run_records: runs").replace("x-v0", "correlation-id")
    after = before.replace("model_name: m", "model_name: other").replace("run_records: runs", "")
    proxy = launch(before)
    stand_in.script(correlation_id, {"deltas": list("abcdefgh"), "interval_s": 0.3}, {"text": "Hi"})
    headers = {"correlation-id": correlation_id}
    with proxy.client.stream("POST", PATH, headers=headers, json=body(model="m", stream=True)) as reply:
        (tmp_path / "config.yaml").write_text(after)
        proxy.wait_event(15, event="config.reloaded")
        assert 404 == proxy.client.post(PATH, headers=headers, json=body(model="m")).status_code
        assert 200 == proxy.client.post(PATH, headers=headers, json=body(model="other")).status_code
        assert "abcdefgh" == text_of(frames(reply))
    assert 0 == proxy.stop()
    (records,) = tmp_path.glob("runs/*/interactions.jsonl")
    assert 1 == len(records.read_text().splitlines()), "it was written down by the one it began with"


def test_a_mounted_config_map_is_swapped(launch: Launch, stand_in: StandIn, tmp_path: Path) -> None:
    """As the kubelet does it: a new folder, and one rename of the link to it."""

    def lay(number: int) -> None:
        folder = tmp_path / f"mount/..{number}"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config(f"v{number}"))
        (tmp_path / "mount/..next").symlink_to(f"..{number}")
        (tmp_path / "mount/..next").replace(tmp_path / "mount/..data")

    lay(0)
    (tmp_path / "mount/config.yaml").symlink_to("..data/config.yaml")
    proxy = launch(env={"PROXY_CONFIG": "mount/config.yaml"})
    assert "v0" == answered_by(ask(proxy, "a", model="m"))
    lay(1)
    proxy.wait_event(15, event="config.reloaded")
    assert "v1" == answered_by(ask(proxy, "a", model="m"))
    assert 1 == proxy.metric("proxy_config_reloads_total", outcome="succeeded")


def test_a_bad_file_changes_nothing_and_is_told_once(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(config("v0"))
    file = tmp_path / "config.yaml"
    file.write_text(config("v1", "timeoutz: {idle: 1}"))
    failed = proxy.wait_event(15, event="config.reload_failed")
    assert ("error", True) == (failed["level"], "config.yaml:7: proxy.timeoutz: unknown key" in failed["reason"])
    assert "v0" == answered_by(ask(proxy, "a", model="m"))
    assert (0, 1) == (
        proxy.metric("proxy_config_last_reload_successful"),
        proxy.metric("proxy_config_reloads_total", outcome="failed"),
    )
    proxy.process.send_signal(signal.SIGHUP)
    asyncio.run(reloads(proxy, 2, "config.reload_failed"))
    file.write_text(config("v2"))
    proxy.wait_event(15, event="config.reloaded")
    assert "v2" == answered_by(ask(proxy, "a", model="m"))
    assert 1 == proxy.metric("proxy_config_last_reload_successful")
    assert 2 == len(proxy.events(event="config.reload_failed")), "who asks is told again"


def test_a_signal_reads_what_no_file_shows(launch: Launch) -> None:
    proxy = launch(config("v0"))
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_event(15, event="config.reloaded")
    assert "v0" == answered_by(ask(proxy, "a", model="m"))


def test_a_mounted_secret_changes(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("planted-old-key\n")
    proxy = launch(config("v0"), env={"PROXY_API_KEY_FILE": "key"})

    def status(key: str) -> int:
        return proxy.client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code

    assert (200, 401) == (status("planted-old-key"), status("planted-new-key"))
    (tmp_path / "key").write_text("planted-new-key\n")
    proxy.wait_event(15, event="config.reloaded")
    assert (401, 200) == (status("planted-old-key"), status("planted-new-key"))
    assert not any(word in proxy.output for word in ("planted-old-key", "planted-new-key"))


def test_a_new_credential_logs_in_anew(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("planted-old-secret")
    proxy = launch(config("v0"), env={"CLIENT_SECRET": "", "CLIENT_SECRET_FILE": "secret"})
    for number, secret in enumerate(["planted-old-secret", "planted-new-secret"]):
        (tmp_path / "secret").write_text(secret)
        (tmp_path / "config.yaml").write_text(config(f"v{number + 1}"))
        asyncio.run(reloads(proxy, number + 1))
        assert 200 == ask(proxy, "a", model="m").status_code
        assert 1 + number == len(proxy.events(event="auth.succeeded"))


QUOTA = "quota: {{requests_per_minute: {}, queue_timeout: 0.1}}"
KEYS = "api_keys: [{{name: ann, key: planted-key-of-ann, requests_per_minute: {}}}]"


@pytest.mark.parametrize("limit", [QUOTA, KEYS], ids=["the account's", "the key's"])
def test_a_reload_gives_no_allowance_twice(launch: Launch, tmp_path: Path, limit: str) -> None:
    proxy = launch(config("v0", limit.format(3)))
    proxy.client.headers["authorization"] = "Bearer planted-key-of-ann"

    def statuses(count: int) -> list[int]:
        return [ask(proxy, "a", model="m").status_code for _ in range(count)]

    assert [200, 200] == statuses(2)
    (tmp_path / "config.yaml").write_text(config("v1", limit.format(3)))
    proxy.wait_event(15, event="config.reloaded")
    assert [200, 429] == statuses(2)
    (tmp_path / "config.yaml").write_text(config("v2", limit.format(5)))
    asyncio.run(reloads(proxy, 2))
    assert [200, 200, 429] == statuses(3), "and a new one counts at once"


def test_what_needs_a_restart_is_named_and_stays(launch: Launch, tmp_path: Path) -> None:
    proxy = launch(config("v0"))
    (tmp_path / ".env").write_text("PROXY_HOST=0.0.0.0\nREDIS_URL=redis://127.0.0.1:1/0\n")
    proxy.wait_event(15, event="config.restart_needed", setting="REDIS_URL", level="warning")
    (tmp_path / "config.yaml").write_text(config("v1", "admin: {port: 0}"))
    proxy.wait_event(15, event="config.restart_needed", setting="proxy.admin")
    assert 200 == proxy.client.get("/metrics").status_code
    assert "v1" == answered_by(ask(proxy, "a", model="m"))
