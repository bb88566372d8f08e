"""The proxy inside this process, for commands that ask a model themselves: the whole way of a request, from a
socket of its own on."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from proxy.config import Config
from proxy.config.settings import Correlation
from proxy.server.run import Listener, listening
from proxy.server.service import Service


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a proxy. ``header`` is the one that this takes the correlation id from."""

    session: aiohttp.ClientSession
    header: str = Correlation().header

    def post(
        self, path: str, body: Mapping[str, Any], correlation_id: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The response to a request, its body still to be read. How long it may take is the proxy's matter."""
        return self.session.post(path, json=body, headers={self.header: correlation_id})


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Client]:
    """Serves ``config`` to this process alone: a free port of the loopback interface, and a key made up for it in
    place of the callers' keys."""
    key = secrets.token_urlsafe(32)
    service = Service(replace(config, master_key=key, api_keys=()))
    async with (
        listening(service, Listener("127.0.0.1", 0)) as (url,),
        aiohttp.ClientSession(
            url, headers={"authorization": f"Bearer {key}"}, timeout=aiohttp.ClientTimeout(total=None)
        ) as session,
    ):
        yield Client(session, config.correlation.header)
