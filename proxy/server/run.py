"""Runs the proxy in this process until it is told to stop."""

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from proxy.config import Config
from proxy.errors import CutOff
from proxy.server.connection import Connection, telling
from proxy.server.reload import Reload
from proxy.server.service import Service
from proxy.server.watchdog import Watchdog

log = structlog.get_logger()

BACKLOG = 1024
LOOK_EVERY_S = 0.1
LAST_WORDS_S = 2.0  # for the error events of answers that the drain cut off


@dataclass(frozen=True, slots=True)
class Listener:
    """Where connections come in; port 0 takes a free one. ``operators`` says that they may ask for their routes."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    operators: bool = True


@contextlib.asynccontextmanager
async def listening(service: Service, *listeners: Listener) -> AsyncIterator[Sequence[str]]:
    """Has ``service`` serve while the context lasts; gives the addresses of its listeners."""
    loop = asyncio.get_running_loop()
    async with service, contextlib.AsyncExitStack() as stack:
        server = web.Server(
            telling(service.handle, lambda: service.config.timeouts),
            request_factory=service.request,
            handler_cancellation=True,  # or an upstream goes on generating for a caller that has gone
        )
        stack.push_async_callback(_shut, server)
        urls = []
        for listener in listeners:

            def connection(operators: bool = listener.operators) -> Connection:
                return Connection(server, service.config.timeouts.request_body, operators=operators)

            opened = await loop.create_server(
                connection, listener.host, listener.port, backlog=BACKLOG, ssl=listener.tls
            )
            stack.callback(opened.close)
            urls.append(_url(listener, opened.sockets[0].getsockname()[1]))
        yield urls


async def serve(service: Service, *, on_ready: Callable[[str], None], load: Callable[[], Config] | None = None) -> None:
    """Serves until SIGTERM or SIGINT. Then answers under way get the time of ``drain_timeout`` to end, new ones are
    refused, and what is left is ended with an error event. A second signal ends at once. With ``load`` a configuration
    that has changed is taken over, at SIGHUP at once."""
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    config, lasting = service.config, service.lasting
    listeners = [Listener(config.host, config.port, lasting.tls, operators=config.admin is None)]
    if config.admin is not None:
        listeners.append(Listener(config.admin.host, config.admin.port))
    async with listening(service, *listeners) as (url, *operators_url), contextlib.AsyncExitStack() as stack:
        if load is not None:
            reload = Reload(service, load)
            loop.add_signal_handler(signal.SIGHUP, reload.ask)
            await stack.enter_async_context(reload.following())
        on_ready(url)
        for other in operators_url:
            log.info("operators.listening", url=other)
        await stop.wait()
        lasting.state.draining = True
        watchdog = lasting.watchdog
        log.info("shutdown.draining", answers=len(watchdog))
        await _until_quiet(watchdog, service.config.drain_timeout, hurry)
        watchdog.expire_all(CutOff("the proxy is shutting down"))
        await _until_quiet(watchdog, LAST_WORDS_S, hurry)


async def _shut(server: web.Server) -> None:
    """Requests that came in before get to be handled; then connections are closed, those in use after a while."""
    await asyncio.sleep(0)
    server.pre_shutdown()
    await server.shutdown(LAST_WORDS_S)


def _url(listener: Listener, port: int) -> str:
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{'https' if listener.tls else 'http'}://{host}:{port}"


async def _until_quiet(watchdog: Watchdog, seconds: float, hurry: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(watchdog) and not hurry.is_set():  # noqa: ASYNC110 - at shutdown only, of two things
                await asyncio.sleep(LOOK_EVERY_S)
