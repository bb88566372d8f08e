"""Routes for operators and for clients that look around: probes, metrics, models. None of them calls anybody."""

import time

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from proxy import __version__
from proxy.dispatch.router import Group, Router
from proxy.server.keys import HOLDER
from proxy.server.state import State
from proxy.telemetry.metrics import Metrics

_ALIVE = ("/health", "/healthz", "/health/liveliness")
_READY = ("/ready", "/health/readiness")
PROBES = frozenset({*_ALIVE, *_READY})


class Ops:
    def __init__(self, router: Router, metrics: Metrics, state: State) -> None:
        self._router = router
        self._metrics = metrics
        self._state = state
        self._created = int(time.time())

    def routes(self) -> list[web.RouteDef]:
        return [
            *(web.get(path, self.health) for path in _ALIVE),
            *(web.get(path, self.ready) for path in _READY),
            web.get("/metrics", self.metrics),
            web.get("/models", self.targets),
            web.get("/v1/models", self.models),
            web.get("/v1/models/{id:.+}", self.model),
        ]

    async def health(self, request: web.Request) -> web.Response:
        return _json({"status": "ok", "version": __version__})

    async def ready(self, request: web.Request) -> web.Response:
        if self._state.ready:
            return _json({"status": "ready"})
        return _json({"status": "draining" if self._state.draining else "starting"}, status=503)

    async def metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._metrics.registry), headers={"content-type": content_type})

    async def models(self, request: web.Request) -> web.Response:
        data = [self._entry(name, group) for name, group in self._names(request)]
        return _json({"object": "list", "data": data})

    async def targets(self, request: web.Request) -> web.Response:
        """The same, and who answers to each name."""
        names = self._names(request)
        data = [
            self._entry(name, group) | {"provider": group.provider, "target": group.target} for name, group in names
        ]
        aliases = {name: {"provider": group.provider, "model": group.target} for name, group in names}
        return _json({"object": "list", "data": data, "aliases": aliases})

    async def model(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        return _json(self._entry(name, request[HOLDER].find(self._router.find, name)))

    def _names(self, request: web.Request) -> list[tuple[str, Group]]:
        """Those that the caller may use."""
        holder = request[HOLDER]
        return [(name, group) for name, group in self._router.names.items() if holder.may_use(name, group.name)]

    def _entry(self, name: str, group: Group) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": group.provider}


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
