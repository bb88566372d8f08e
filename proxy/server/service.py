"""The proxy as a whole: what lasts, and the application of the configuration that counts just now."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

from aiohttp import web

from proxy.config import Config
from proxy.core.callers.chat import Chat
from proxy.core.callers.chat_service import ChatService
from proxy.core.dialect import Caller
from proxy.dispatch.providers import PROVIDERS, Provider
from proxy.server.app import create_app
from proxy.server.lasting import Lasting

BEGUN_S = 1.0
"""So long after another configuration has come in, a request of the one before may still be about to begin."""


class Serving:
    """A configuration that requests are served by. Everything in it is made anew for each configuration, and none of
    it changes."""

    def __init__(self, config: Config, app: web.Application) -> None:
        self.config = config
        self._runner = web.AppRunner(app)
        self._closing: asyncio.Task[None] | None = None
        self._requests = 0
        self._over = asyncio.Event()
        self._over.set()

    async def start(self) -> None:
        await self._runner.setup()

    def request(self, *parts: Any) -> web.BaseRequest:
        """A request whose head has come; ``parts`` are aiohttp's."""
        assert self._runner.server is not None, "it was started"
        request = self._runner.server.request_factory(*parts)
        request[SERVING] = self
        return request

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._runner.server is not None, "it was started"
        self._requests += 1
        self._over.clear()
        try:
            return await self._runner.server.request_handler(request)
        finally:
            self._requests -= 1
            if not self._requests:
                self._over.set()

    async def close(self) -> None:
        """Does it once and to its end, whoever asks for it and leaves: what was noted is still to be written."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._runner.cleanup())
        await asyncio.shield(self._closing)

    async def retire(self) -> None:
        """Closes behind the last request, and leaves nothing."""
        await asyncio.sleep(BEGUN_S)
        await self._over.wait()
        await self.close()
        gc.collect()  # it looks rarely, and what was made for this one may hold secrets that are of no more use


SERVING = web.RequestKey("serving", Serving)


class Service:
    """Serves while its context lasts. Each request is served to its end by the configuration that counted when its
    head had come."""

    def __init__(
        self,
        config: Config,
        *,
        callers: Sequence[Caller] = (Chat(), ChatService()),
        providers: Mapping[str, Provider] = PROVIDERS,
    ) -> None:
        self.lasting = Lasting(config)
        self._make = partial(create_app, lasting=self.lasting, callers=callers, providers=providers)
        self._current = Serving(config, self._make(config))
        self._retiring: dict[asyncio.Task[None], Serving] = {}

    @property
    def config(self) -> Config:
        return self._current.config

    async def turn_to(self, config: Config) -> None:
        """From now on ``config`` counts. Raises ``ConfigError`` if it cannot; then the one before does."""
        self.lasting.renew(config.tls)
        following = Serving(config, self._make(config))
        await following.start()
        self.lasting.adopt(config)
        await self.lasting.cooldowns.forget()  # whoever changes a configuration may have mended what failed
        before, self._current = self._current, following
        task = asyncio.create_task(before.retire())
        self._retiring[task] = before
        task.add_done_callback(lambda _: self._retiring.pop(task))

    def request(self, *parts: Any) -> web.BaseRequest:
        return self._current.request(*parts)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await request[SERVING].handle(request)

    async def __aenter__(self) -> Self:
        await self._current.start()
        await self.lasting.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        if retiring:
            await asyncio.wait(retiring)
        for serving in (*retiring.values(), self._current):
            await serving.close()
        await self.lasting.close()
