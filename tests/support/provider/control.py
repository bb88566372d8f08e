"""The control routes under /_provider: scripts in, records out."""

from typing import Any

import orjson
from aiohttp import web

from proxy.simulator.strict import Invalid
from tests.support.provider.script import read_script
from tests.support.provider.state import State

PREFIX = "/_provider"


class Control:
    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put(PREFIX + "/scripts/{key}", self.put_script),
            web.get(PREFIX + "/requests", self.get_requests),
            web.get(PREFIX + "/stats", self.get_stats),
            web.delete(PREFIX, self.reset),
        ]

    async def put_script(self, request: web.Request) -> web.Response:
        """The answers for a correlation id, or for any request under `*`, in place of those it had."""
        try:
            answers = read_script(orjson.loads(await request.read()))
        except orjson.JSONDecodeError as error:
            return _json({"error": f"not JSON: {error}", "field": ""}, 400)
        except Invalid as error:
            return _json({"error": str(error), "field": error.path}, 400)
        self._state.scripts.put(request.match_info["key"], answers)
        return _json({"answers": len(answers)})

    async def get_requests(self, request: web.Request) -> web.Response:
        """What was asked for and how it ended, oldest first."""
        wanted = request.query.get("correlation_id")
        return _json([one for one in self._state.log.exchanges if wanted in (None, one.correlation_id)])

    async def get_stats(self, _: web.Request) -> web.Response:
        return _json(self._state.log.stats())

    async def reset(self, _: web.Request) -> web.Response:
        self._state.reset()
        return _json({})


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
