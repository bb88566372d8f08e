"""The seam: the toys stream, fail and break off like the product's own dialects, on either side of them."""

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.conftest import Launch
from tests.support.processes import ROOT, Proxy

HEADERS = {"correlation-id": "toy-1"}


class ToyServer:
    """What stands behind the toy upstream: it does what the prompt says."""

    def __init__(self) -> None:
        self.url = ""
        self.prompts: list[str] = []
        self.correlation_ids: list[str | None] = []
        self.left = asyncio.Event()

    async def say(self, request: web.Request) -> web.StreamResponse:
        prompt = await request.text()
        self.prompts.append(prompt)
        self.correlation_ids.append(request.headers.get("correlation-id"))
        if prompt == "refuse":
            return web.Response(status=503)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"Hello\n")
        try:
            if prompt == "wait":
                await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.left.set()
            raise
        if prompt == "reset" and request.transport:
            request.transport.abort()
        await response.write(b"half" if prompt == "cut" else b"world\n.\n")
        return response


@pytest.fixture
async def toy() -> AsyncIterator[ToyServer]:
    server, app = ToyServer(), web.Application()
    app.add_routes([web.post("/say", server.say)])
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
def toy_proxy(toy: ToyServer, launch: Launch) -> Proxy:
    return launch(env={"TOY_URL": toy.url}, module="tests.seam.serve")


async def post(proxy: Proxy, path: str, **request: object) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(proxy.url + path, headers=HEADERS, **request) as reply,  # type: ignore[arg-type]
    ):
        return reply.status, await reply.text()


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    {
        "streamed": ("stream\nHi", 200, "+ Hello\n+ world\n. stop\n"),
        "whole": ("Hi", 200, "+ Hello\n+ world\n. stop\n"),
        "an empty request": ("stream\n", 400, "! None\n"),
        "refused upstream": ("stream\nrefuse", 502, "! upstream_failed\n"),
        "cut off, streamed": ("stream\ncut", 200, "+ Hello\n! upstream_truncated\n"),
        "cut off, whole": ("cut", 502, "! upstream_truncated\n"),
        "reset, streamed": ("stream\nreset", 200, "+ Hello\n! upstream_truncated\n"),
        "reset, whole": ("reset", 502, "! upstream_truncated\n"),
    }.values(),
)
async def test_toy_to_toy(toy_proxy: Proxy, toy: ToyServer, body: str, status: int, answer: str) -> None:
    assert (status, answer) == await post(toy_proxy, "/toy", data=body)
    assert {"stream\n": 0, "stream\nrefuse": 3}.get(body, 1) == len(toy.prompts), (
        "refused before any answer: tried again"
    )
    assert set(toy.correlation_ids) <= {"toy-1"}
    assert 0 == toy_proxy.metric("proxy_streams_in_flight")


@pytest.mark.parametrize("stream", [True, False])
async def test_chat_to_toy(toy_proxy: Proxy, toy: ToyServer, stream: bool) -> None:
    """The product's caller dialect over the toy upstream."""
    body = {"model": "toy-model", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    status, answer = await post(toy_proxy, "/v1/chat/completions", json=body)
    assert 200 == status
    content = "".join(re.findall(r'"content":"(\w*)"', answer))
    assert ("Helloworld", stream) == (content, "[DONE]" in answer)
    assert ["Hi"] == toy.prompts


async def test_the_caller_leaving_closes_the_toy_upstream(toy_proxy: Proxy, toy: ToyServer) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{toy_proxy.url}/toy", headers=HEADERS, data="stream\nwait") as reply,
    ):
        assert b"+ Hello\n" == await reply.content.readline()
    await asyncio.wait_for(toy.left.wait(), 1)
    assert "client_disconnect" == toy_proxy.wait_event(event="request.finished")["end_reason"]


def test_the_toys_are_small() -> None:
    for name in ("toy_caller.py", "toy_upstream.py"):
        assert 100 > len((ROOT / "tests" / "seam" / name).read_text().splitlines())
