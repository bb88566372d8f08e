"""The provider as an aiohttp application that serves itself."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.provider.api import Api
from tests.support.provider.control import Control
from tests.support.provider.state import State

HOST = "127.0.0.1"
_MAX_BODY = 64 * 1024 * 1024
_SHUTDOWN_S = 0.1  # open streams are cut when the provider stops


@asynccontextmanager
async def serve(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serves until the block is left; gives its address. Port 0 takes a free one."""
    state = State()
    app = web.Application(client_max_size=_MAX_BODY)
    app.add_routes([*Control(state).routes(), *Api(state).routes()])
    # Without handler_cancellation clients that leave would go unnoticed.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
