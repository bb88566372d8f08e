"""Runs an application in this process until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import structlog
from aiohttp import web

from proxy.errors import CutOff
from proxy.server.app import STATE, TIMEOUTS, WATCHDOG
from proxy.server.connection import Connection, serve_with
from proxy.server.watchdog import Watchdog

log = structlog.get_logger()

BACKLOG = 1024
LOOK_EVERY_S = 0.1
LAST_WORDS_S = 2.0  # for the error events of answers that the drain cut off


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serves ``app`` while the context lasts; gives its address. Port 0 takes a free one."""
    runner = web.AppRunner(
        app,
        handler_cancellation=True,  # or an upstream goes on generating for a caller that has gone
        shutdown_timeout=LAST_WORDS_S,
    )
    await runner.setup()
    try:
        server, timeouts = runner.server, app[TIMEOUTS]
        assert server is not None, "it was set up"
        serve_with(server, timeouts)
        listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(server, timeouts.request_body), host, port, backlog=BACKLOG
        )
        try:
            bound = listener.sockets[0].getsockname()[1]
            yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def serve(app: web.Application, host: str, port: int, *, drain: float, on_ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT. Then answers under way get ``drain`` seconds to end, new ones are refused,
    and what is left is ended with an error event. A second signal ends at once."""
    stop = asyncio.Event()
    hurry = asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    async with listening(app, host, port) as url:
        on_ready(url)
        await stop.wait()
        app[STATE].draining = True
        watchdog = app[WATCHDOG]
        log.info("shutdown.draining", answers=len(watchdog))
        await _until_quiet(watchdog, drain, hurry)
        watchdog.expire_all(CutOff("the proxy is shutting down"))
        await _until_quiet(watchdog, LAST_WORDS_S, hurry)


async def _until_quiet(watchdog: Watchdog, seconds: float, hurry: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while len(watchdog) and not hurry.is_set():  # noqa: ASYNC110 - at shutdown only, of two things
                await asyncio.sleep(LOOK_EVERY_S)
