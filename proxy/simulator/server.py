"""The simulator as an aiohttp application, and as a server of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from yarl import URL

from .chat import Chat
from .control import Control
from .login import Login
from .relayed import Relayed
from .replay import load
from .state import Settings, State

_MAX_BODY = 64 * 1024 * 1024
_SHUTDOWN_S = 0.1  # open streams are cut when the simulator stops


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator; `url` serves as both of StackSpot's hosts."""

    url: str
    state: State


def create_app(state: State) -> web.Application:
    """Run it with `handler_cancellation=True`, or clients that leave go unnoticed."""
    app = web.Application(client_max_size=_MAX_BODY)
    app.add_routes(
        [
            *Control(state).routes(),
            web.post("/{realm}/oidc/oauth/token", Login(state).handle),
            web.post("/v1/agent/{agent_id}/chat", Chat(state).handle),
            web.post("/v1/chat/completions", Relayed(state).handle),
        ]
    )
    return app


@asynccontextmanager
async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    settings: Settings | None = None,
    replay: Path | None = None,
) -> AsyncIterator[Simulator]:
    """Serves until the block is left. Port 0 takes a free one; `replay` is a folder of captured streams.

    Raises ReplayError where the folder or one of its files cannot be replayed.
    """
    state = State(settings or Settings(), load(replay) if replay else ())
    app = create_app(state)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()  # aiohttp sets TCP_NODELAY on every connection
        url = URL.build(scheme="http", host=host, port=runner.addresses[0][1])
        yield Simulator(str(url).rstrip("/"), state)
    finally:
        await runner.cleanup()
