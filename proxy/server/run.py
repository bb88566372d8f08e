"""Runs the proxy in this process until it is told to stop."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from proxy.config import Config
from proxy.errors import CutOff, Draining
from proxy.server.accept import Acceptor
from proxy.server.connection import Connection, telling
from proxy.server.descriptors import affordable
from proxy.server.reload import Reload
from proxy.server.service import Service
from proxy.server.signals import Signals
from proxy.server.watchdog import Watchdog

log = structlog.get_logger()

RESERVE = 16
"""Connections for probes above the limit of callers'."""
OPERATORS = 64
"""Connections to the operators' port."""
LOOK_EVERY_S = 0.1
LAST_WORDS_S = 2.0  # for the error events of answers that the drain cut off


@dataclass(frozen=True, slots=True)
class Listener:
    """Where connections come in; port 0 takes a free one. ``operators`` says that they may ask for their routes."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    operators: bool = True
    operators_only: bool = False


@contextlib.asynccontextmanager
async def listening(service: Service, *listeners: Listener) -> AsyncIterator[Sequence[str]]:
    """Has ``service`` serve while the context lasts; gives the addresses of its listeners."""
    config, lasting = service.config, service.lasting
    most = affordable(config.limits.max_connections, config.limits.max_streams)

    def callers() -> int:
        return min(service.config.limits.max_connections, most)

    async with service, contextlib.AsyncExitStack() as stack:
        server = web.Server(
            telling(service.handle, lambda: service.config.timeouts),
            request_factory=service.request,
            handler_cancellation=True,  # or an upstream goes on generating for a caller that has gone
        )
        stack.push_async_callback(_shut, server)
        urls = []
        for listener in listeners:

            def connect(operators: bool = listener.operators, **given: Any) -> Connection:
                return Connection(server, service.config.timeouts.request_body, operators=operators, **given)

            acceptor = Acceptor(
                connect,
                lasting.connections,
                limit=(lambda: OPERATORS) if listener.operators_only else callers,
                reserve=0 if listener.operators_only else RESERVE,
                tls=listener.tls,
                patience=lambda: service.config.timeouts.request_body,
            )
            lasting.connections.count(acceptor)
            stack.callback(acceptor.close)
            urls.append(_url(listener, await acceptor.listen(listener.host, listener.port)))
        yield urls


async def serve(
    service: Service, signals: Signals, *, on_ready: Callable[[str], None], load: Callable[[], Config] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT. Then answers under way get the time of ``drain_timeout`` to end, those for which
    nothing was sent on and new ones are refused, and what is left is ended with an error event. A second signal ends at
    once. With ``load`` a configuration that has changed is taken over, at SIGHUP at once. Raises ``Stopped`` when the
    signal comes before it serves."""
    config, lasting = service.config, service.lasting
    listeners = [Listener(config.host, config.port, lasting.tls, operators=config.admin is None)]
    if config.admin is not None:
        listeners.append(Listener(config.admin.host, config.admin.port, operators_only=True))
    async with contextlib.AsyncExitStack() as stack:
        async with signals.starting():
            url, *operators_url = await stack.enter_async_context(listening(service, *listeners))
        reload = Reload(service, load) if load is not None else None
        signals.serving(reload.ask if reload is not None else None)
        if reload is not None:
            await stack.enter_async_context(reload.following())
        on_ready(url)
        for other in operators_url:
            log.info("operators.listening", url=other)
        await signals.stop.wait()
        lasting.state.draining = True
        watchdog = lasting.watchdog
        log.info("shutdown.draining", answers=len(watchdog))
        watchdog.turn_away(Draining("the proxy is shutting down; another one will take this", retry_after=1))
        await _until_quiet(watchdog, service.config.drain_timeout, signals.hurry)
        watchdog.expire_all(CutOff("the proxy is shutting down"))
        await _until_quiet(watchdog, LAST_WORDS_S, signals.hurry)


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
            while watchdog.busy and not hurry.is_set():  # noqa: ASYNC110 - at shutdown only, of two things
                await asyncio.sleep(LOOK_EVERY_S)
