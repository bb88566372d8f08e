"""The composition root of one configuration: everything that depends on it is made here, and nowhere else."""

from collections.abc import AsyncIterator, Mapping, Sequence

from aiohttp import web

from proxy.config import Config
from proxy.core.dialect import Caller
from proxy.dispatch.attempts import Attempts
from proxy.dispatch.dispatcher import Dispatcher
from proxy.dispatch.providers import Provider, deploy
from proxy.dispatch.router import Router
from proxy.server import cors, hosts, middleware, openapi, page
from proxy.server.caching import Caching
from proxy.server.inference import Inference
from proxy.server.key_limits import KeyLimits
from proxy.server.lasting import Lasting
from proxy.server.ops import Ops
from proxy.telemetry.events import RetryEvents
from proxy.telemetry.observing import observe


def create_app(
    config: Config, lasting: Lasting, *, callers: Sequence[Caller], providers: Mapping[str, Provider]
) -> web.Application:
    """The application that serves ``config``. Raises ``ConfigError``, and has changed nothing then."""
    observing = observe(config)
    metrics, state, watchdog, accounts = lasting.metrics, lasting.state, lasting.watchdog, lasting.accounts
    metrics.serve((model.name, model.provider) for model in config.models)
    deployments = [deploy(model, config, providers, accounts, lasting.cooldowns) for model in config.models]
    router = Router(deployments, config.routing.fallbacks)
    limits = KeyLimits(config.api_keys, accounts)
    attempts = Attempts(router, config.routing, RetryEvents(metrics))
    caching = Caching(config, lasting.store, metrics)
    dispatcher = Dispatcher(lasting.transport, observing.capture)

    callers_of = {route: caller for caller in callers for route in caller.routes}
    app = web.Application(
        client_max_size=int(config.limits.max_body_mb * 2**20),
        middlewares=[
            middleware.account(callers_of, config, metrics, observing.observers),
            middleware.refuse(callers_of),
            hosts.check_host(config),
            cors.share(config),
            middleware.keep_apart(),
            middleware.authorize(config),
            middleware.admit(callers_of, config, state, lasting.admission, watchdog),
            middleware.correlate(callers_of, config, metrics),
        ],
    )
    app.on_response_prepare.append(middleware.label_responses(config))
    app.on_response_prepare.append(cors.label_for_browsers(config))
    for caller in callers:
        inference = Inference(
            caller,
            config,
            router,
            limits,
            attempts,
            dispatcher,
            watchdog,
            lasting.batch,
            caching,
            metrics,
            observing.observers,
        )
        app.add_routes([web.post(route, inference.handle) for route in caller.routes])
    app.add_routes(Ops(router, metrics, state).routes())
    app.add_routes([openapi.route(config), *([page.route(config)] if config.page else [])])

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        metrics.watch(deployments)
        yield
        await lasting.transport.settled()  # until then they are listened to
        await observing.close()

    app.cleanup_ctx.append(lifetime)
    return app
