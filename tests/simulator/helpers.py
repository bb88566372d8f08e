"""What the tests of the simulator speak to it with."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

AGENT = "01JZ4M7Q2X9WB3TKD5R8VHNC6E"
KEY = "sk-test"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    def events(self) -> list[Any]:
        """The JSON of each data line; good for the LF streams of these tests."""
        lines = [line for line in self.body.decode().split("\n") if line.startswith("data: {")]
        return [orjson.loads(line.removeprefix("data: ")) for line in lines]

    def text(self) -> str:
        return "".join(event["message"] for event in self.events())


@dataclass(frozen=True, slots=True)
class Client:
    http: aiohttp.ClientSession

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        async with self.http.request(method, path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def chat(
        self,
        prompt: str = "Hi",
        *,
        agent: str = AGENT,
        key: str = KEY,
        correlation_id: str = "c-1",
        **fields: Any,
    ) -> Reply:
        headers = {"Authorization": f"Bearer {key}", "correlation-id": correlation_id}
        body = {"streaming": True, "user_prompt": prompt, **fields}
        return await self.request(
            "POST", f"/v1/agent/{agent}/chat", data=io.BytesIO(orjson.dumps(body)), headers=headers
        )

    async def login(self, realm: str = "acme", **fields: str) -> Reply:
        form = {
            "grant_type": "client_credentials",
            "client_id": "some-client",
            "client_secret": "s3cret",
            **fields,
        }
        return await self.request("POST", f"/{realm}/oidc/oauth/token", data=form)

    async def token(self, **fields: str) -> str:
        return str((await self.login(**fields)).json()["access_token"])

    async def script(self, *answers: dict[str, Any], key: str = "*") -> Reply:
        return await self.request("PUT", f"/_simulator/scripts/{key}", data=io.BytesIO(orjson.dumps(answers)))

    async def settings(self, **settings: Any) -> Reply:
        return await self.request("PUT", "/_simulator/settings", json=settings)

    async def stats(self, query: str = "") -> Any:
        return (await self.request("GET", f"/_simulator/stats{query}")).json()

    async def requests(self, query: str = "") -> Any:
        return (await self.request("GET", f"/_simulator/requests{query}")).json()


@dataclass(frozen=True, slots=True)
class RawChat:
    """A chat request over a bare socket, where the framing is what matters."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def until(self, data: bytes) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(data), 2)

    async def until_broken(self) -> tuple[bytes, bool]:
        """All that comes, and whether a reset ended it."""
        got = b""
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), 2):
                got += piece
        except ConnectionResetError:
            return got, True
        return got, False


@asynccontextmanager
async def raw_chat(url: str, **fields: Any) -> AsyncIterator[RawChat]:
    """A chat request that has been sent; the connection is closed when the block is left."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    body = orjson.dumps({"streaming": True, "user_prompt": "Hi", **fields})
    head = [
        f"POST /v1/agent/{AGENT}/chat HTTP/1.1",
        "Host: simulator",
        f"Authorization: Bearer {KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    writer.write("\r\n".join(head).encode() + body)
    try:
        yield RawChat(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


now = time.monotonic


def took(started: float) -> float:
    """The seconds since then, and the two milliseconds that event loops round away."""
    return now() - started + 0.002


async def eventually(condition: Any, seconds: float = 1.0) -> None:
    """Waits until an async condition holds."""
    deadline = now() + seconds
    while not await condition():
        assert now() < deadline, "it never came true"
        await asyncio.sleep(0.005)
