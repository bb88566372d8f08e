"""Serving: addresses, settings, reset, replay."""

import asyncio
import base64
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from proxy.simulator import ReplayError, Settings, serve
from proxy.simulator.replay import load

from .helpers import Client, now, raw_chat, took


async def test_several_stand_side_by_side() -> None:
    async with serve() as one, serve() as other:
        assert one.url != other.url
        assert one.url.startswith("http://127.0.0.1:")


async def test_stops_at_once_with_streams_open() -> None:
    started = now()
    async with AsyncExitStack() as stack:
        async with serve(settings=Settings(before_status_s=30)) as simulator:
            chat = await stack.enter_async_context(raw_chat(simulator.url))
            await asyncio.sleep(0.05)
        assert await chat.until_broken() == (b"", False)
    assert took(started) < 1


async def test_the_default_pace_is_that_of_a_model() -> None:
    async with serve() as simulator, aiohttp.ClientSession(simulator.url) as http:
        await Client(http).script({"deltas": ["x"] * 6})
        started = now()
        await Client(http).chat()
        assert 0.09 < took(started) < 0.5


async def test_settings_change_only_what_is_given(client: Client) -> None:
    reply = await client.settings(interval_s=0.01, rate_limit={"requests": 5, "window_s": 60})
    assert (reply.json()["interval_s"], reply.json()["token_lifetime_s"]) == (0.01, 1199)
    reply = await client.settings(rate_limit=None)
    assert (reply.json()["interval_s"], reply.json()["rate_limit"]) == (0.01, None)
    assert reply.json() == (await client.request("GET", "/_simulator/settings")).json()


async def test_pace_can_be_set(client: Client) -> None:
    await client.settings(interval_s=0.02, before_status_s=0.05)
    await client.script({"deltas": ["x"] * 4})
    started = now()
    await client.chat()
    assert took(started) >= 0.11


WRONG: dict[str, tuple[Any, str]] = {
    "unknown": ({"pace": 1}, "pace"),
    "ill-typed": ({"rate_limit": {"requests": "5", "window_s": 1}}, "rate_limit.requests"),
    "no such status": ({"login_failure_status": 200}, "login_failure_status"),
    "not an object": ([], ""),
}


@pytest.mark.parametrize(("settings", "field"), WRONG.values(), ids=WRONG)
async def test_wrong_settings_are_named(client: Client, settings: Any, field: str) -> None:
    reply = await client.request("PUT", "/_simulator/settings", json=settings)
    assert (reply.status, reply.json()["field"]) == (400, field)


async def test_reset_takes_everything_back() -> None:
    async with (
        serve(settings=Settings(interval_s=0.001)) as simulator,
        aiohttp.ClientSession(simulator.url) as http,
    ):
        client = Client(http)
        token = await client.token()
        await client.settings(interval_s=1)
        await client.script({"text": "x", "interval_s": 0}, {"text": "y", "repeat": True})
        await client.chat()
        assert (await client.request("DELETE", "/_simulator")).status == 200
        assert not any(value for name, value in (await client.stats()).items() if name != "window_s")
        assert await client.requests() == []
        assert (await client.request("GET", "/_simulator/settings")).json()["interval_s"] == 0.001
        assert (await client.chat(key=token)).status == 401
        assert "“Hi”" in (await client.chat()).text()


async def test_a_stream_across_a_reset_is_not_counted_twice(client: Client) -> None:
    await client.script({"before_status_s": 0.05})
    chat = asyncio.create_task(client.chat())
    await asyncio.sleep(0.02)
    await client.request("DELETE", "/_simulator")
    assert (await chat).status == 200
    stats = await client.stats()
    assert (stats["open_streams"], stats["complete"]) == (0, 0)


def record(folder: Path, name: str, **recording: Any) -> None:
    (folder / name).write_bytes(orjson.dumps(recording))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def test_replays_in_turn_with_their_times(tmp_path: Path) -> None:
    chunks = [[0.05, encoded(b"data: {")], [0.12, encoded(b"}\n\n")]]
    headers = {"Content-Type": "text/event-stream", "Content-Length": "3", "X-Trace": "t"}
    record(tmp_path, "a.json", status=200, headers=headers, chunks=chunks, model="any")
    record(tmp_path, "b.json", status=429, chunks=[[0, encoded(b"Credit Limit Reached")]])
    async with serve(replay=tmp_path) as simulator, aiohttp.ClientSession(simulator.url) as http:
        client = Client(http)
        started = now()
        first = await client.chat()
        assert took(started) >= 0.12
        assert (first.status, first.headers["x-trace"], first.body) == (200, "t", b"data: {}\n\n")
        second = await client.chat()
        assert (second.status, second.body) == (429, b"Credit Limit Reached")
        await client.script({"text": "scripted", "interval_s": 0})
        assert (await client.chat()).text() == "scripted"
        assert (await client.chat()).body == b"data: {}\n\n"
        assert (await client.stats())["generations"] == 3


async def test_without_recordings_of_providers_there_is_no_provider(tmp_path: Path) -> None:
    record(tmp_path, "a.json", chunks=[[0, encoded(b"data: {}")]], provider="stackspot")
    async with (
        serve(replay=tmp_path) as simulator,
        aiohttp.ClientSession(simulator.url) as http,
        http.post("/v1/chat/completions", json={}) as reply,
    ):
        assert 404 == reply.status
        assert "no captured streams of an OpenAI-compatible provider" in await reply.text()


BAD: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "x.json: "),
    "not an object": (b"[]", "x.json: must be an object"),
    "no chunks": (b"{}", "x.json: chunks: is required"),
    "a chunk without time": (b'{"chunks": [["eA=="]]}', r"x.json: chunks\[0\]: must have 2 items"),
    "not base64": (b'{"chunks": [[0, "%"]]}', "x.json: chunks: not base64"),
    "no such status": (b'{"chunks": [], "status": 42}', "x.json: status: must be between"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
async def test_bad_recordings_stop_the_start(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ReplayError, match=message):
        async with serve(replay=tmp_path):
            pass


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"holds no \.json file"):
        load(tmp_path)
    with pytest.raises(ReplayError, match="is not a folder"):
        load(tmp_path / "none")


def test_an_unreadable_recording(tmp_path: Path) -> None:
    (tmp_path / "x.json").mkdir()
    with pytest.raises(ReplayError, match=r"x\.json"):
        load(tmp_path)
