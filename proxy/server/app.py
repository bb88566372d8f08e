"""The composition root: everything is made here, from the configuration, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.config import Config, ConfigError
from proxy.config.settings import Timeouts
from proxy.core.callers.chat import Chat
from proxy.core.callers.chat_service import ChatService
from proxy.core.dialect import Caller
from proxy.dispatch.accounts import Accounts
from proxy.dispatch.attempts import Attempts
from proxy.dispatch.cooldowns import LocalCooldowns
from proxy.dispatch.dispatcher import Dispatcher
from proxy.dispatch.providers import PROVIDERS, Provider, deploy
from proxy.dispatch.router import Router
from proxy.dispatch.transport import Transport
from proxy.server import cors, middleware, openapi, page
from proxy.server.inference import Inference
from proxy.server.key_limits import KeyLimits
from proxy.server.ops import Ops
from proxy.server.state import State
from proxy.server.watchdog import Watchdog
from proxy.telemetry.events import LoginEvents, RetryEvents, SharingEvents
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observing import observe

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.dispatch.quota.sharing import Sharing

STATE = web.AppKey("state", State)
WATCHDOG = web.AppKey("watchdog", Watchdog)
TIMEOUTS = web.AppKey("timeouts", Timeouts)


def create_app(
    config: Config,
    *,
    callers: Sequence[Caller] = (Chat(), ChatService()),
    providers: Mapping[str, Provider] = PROVIDERS,
) -> web.Application:
    """The application that serves ``config``. Needs a running event loop, since it opens connections of its own."""
    state = State()
    metrics = Metrics((model.name, model.provider) for model in config.models)
    sharing = _sharing(config.redis_url, SharingEvents(metrics)) if config.redis_url else None
    transport = Transport(config.timeouts.connect)
    accounts = Accounts(config, transport, LoginEvents(metrics), metrics, sharing)
    cooldowns = sharing or LocalCooldowns()
    deployments = [deploy(model, config, providers, accounts, cooldowns) for model in config.models]
    router = Router(deployments, config.routing.fallbacks)
    limits = KeyLimits(config.api_keys, accounts)
    attempts = Attempts(router, config.routing, RetryEvents(metrics))
    observing = observe(config)
    dispatcher = Dispatcher(transport, observing.capture)
    watchdog = Watchdog(
        config.timeouts, keepalive=config.keepalive_s, commit_after=config.commit_after, on_look=metrics.looked
    )
    metrics.streams.set_function(lambda: len(watchdog))

    callers_of = {route: caller for caller in callers for route in caller.routes}
    app = web.Application(
        client_max_size=int(config.limits.max_body_mb * 2**20),
        middlewares=[
            middleware.account(callers_of, config, metrics, observing.observers),
            middleware.refuse(callers_of),
            cors.share(config, callers_of),
            middleware.authorize(config),
            middleware.admit(callers_of, state),
            middleware.correlate(callers_of, config, metrics),
        ],
    )
    app[STATE] = state
    app[WATCHDOG] = watchdog
    app[TIMEOUTS] = config.timeouts
    app.on_response_prepare.append(middleware.label_responses(config))
    app.on_response_prepare.append(cors.label_for_browsers(config))
    for caller in callers:
        inference = Inference(
            caller, config, router, limits, attempts, dispatcher, watchdog, metrics, observing.observers
        )
        app.add_routes([web.post(route, inference.handle) for route in caller.routes])
    app.add_routes(Ops(router, metrics, state).routes())
    app.add_routes([openapi.route(config), *([page.route(config)] if config.page else [])])

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        watching = asyncio.create_task(watchdog.run())
        if sharing:
            await sharing.start()
        state.started = True
        yield
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await accounts.close()
        if sharing:
            await sharing.close()
        await transport.close()
        await observing.close()

    app.cleanup_ctx.append(lifetime)
    return app


def _sharing(url: str, observer: SharingEvents) -> "Sharing":
    try:
        from proxy.dispatch.quota.sharing import Sharing
    except ImportError:
        missing = "REDIS_URL is set, but the package redis is missing: pip install 'stackspot-proxy[redis]'"
        raise ConfigError(missing) from None
    try:
        return Sharing(url, observer)
    except ValueError as error:
        raise ConfigError(f"REDIS_URL: {error}") from None
