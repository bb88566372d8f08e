"""The control routes under /_simulator/: scripts in, settings in, records out."""

from dataclasses import asdict

import orjson
from aiohttp import web

from .accounts import fixed_maximum, sliding_maximum
from .script import read_script
from .state import Settings, State
from .strict import Invalid, read

PREFIX = "/_simulator"


class Control:
    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put(PREFIX + "/scripts/{key}", self.put_script),
            web.get(PREFIX + "/requests", self.get_requests),
            web.get(PREFIX + "/stats", self.get_stats),
            web.get(PREFIX + "/settings", self.get_settings),
            web.put(PREFIX + "/settings", self.put_settings),
            web.post(PREFIX + "/revoke", self.revoke),
            web.delete(PREFIX, self.reset),
        ]

    async def put_script(self, request: web.Request) -> web.Response:
        """The answers for a correlation id, or for any request under `*`, in place of those it had."""
        try:
            answers = read_script(await _json(request))
        except Invalid as error:
            return _invalid(error)
        self._state.scripts.put(request.match_info["key"], answers)
        return _reply({"answers": len(answers)})

    async def get_requests(self, request: web.Request) -> web.Response:
        """What was asked of the agents and how it ended, oldest first."""
        wanted = request.query.get("correlation_id")
        kept = self._state.ledger.exchanges
        return _reply([exchange for exchange in kept if wanted in (None, exchange.correlation_id)])

    async def get_stats(self, request: web.Request) -> web.Response:
        """The counts; with ?window_s= also the most arrivals of each account in windows of that length."""
        try:
            window_s = float(request.query.get("window_s", "60"))
        except ValueError:
            window_s = 0.0
        if not 0 < window_s < float("inf"):
            return _invalid(Invalid("window_s", "must be a positive number"))
        arrivals = {account: list(times) for account, times in self._state.arrivals.times.items()}
        accounts = {
            str(account): {
                "requests": len(times),
                "sliding_maximum": sliding_maximum(times, window_s),
                "fixed_maximum": fixed_maximum(times, window_s),
            }
            for account, times in arrivals.items()
        }
        return _reply({**self._state.ledger.stats(), "window_s": window_s, "accounts": accounts})

    async def get_settings(self, _: web.Request) -> web.Response:
        return _reply(self._state.settings)

    async def put_settings(self, request: web.Request) -> web.Response:
        """Changes the settings that are given and leaves the others."""
        try:
            given = await _json(request)
            if not isinstance(given, dict):
                raise Invalid("", "must be an object")
            self._state.change(read(Settings, {**asdict(self._state.settings), **given}))
        except Invalid as error:
            return _invalid(error)
        return _reply(self._state.settings)

    async def revoke(self, _: web.Request) -> web.Response:
        """From here on every token issued so far is answered with 401."""
        self._state.tokens.revoke()
        return _reply({})

    async def reset(self, _: web.Request) -> web.Response:
        self._state.reset()
        return _reply({})


async def _json(request: web.Request) -> object:
    try:
        value: object = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Invalid("", f"not JSON: {error}") from None
    return value


def _reply(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _invalid(error: Invalid) -> web.Response:
    return _reply({"error": str(error), "field": error.path}, status=400)
