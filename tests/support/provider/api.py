"""The provider's API: `POST .../chat/completions` and `GET .../models` under any prefix, with a bearer key."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from proxy.simulator.delivery import Delivery
from proxy.simulator.ledger import Outcome
from proxy.simulator.sending import send
from tests.support.provider import errors
from tests.support.provider.delivery import deliver, refused
from tests.support.provider.log import Exchange
from tests.support.provider.script import Answer
from tests.support.provider.state import State

WRONG_KEY = "wrong-key"
MODELS = ("stand-in-large", "stand-in-small")  # those listed; a chat takes any name
_PREFIX = "/{prefix:(?:.*/)?}"

Decide = Callable[[Exchange], Delivery]


class Api:
    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(_PREFIX + "chat/completions", self.chat),
            web.get(_PREFIX + "models", self.models),
            web.route("*", "/{anything:.*}", self.unknown),
        ]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._chat)

    async def models(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, lambda _: deliver(Answer(body=_list()), {}), "complete")

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        message = f"Invalid URL ({request.method} {request.path})"
        return await self._answer(request, lambda _: refused(404, errors.invalid(message)))

    async def _answer(self, request: web.Request, decide: Decide, outcome: Outcome | None = None) -> web.StreamResponse:
        """Records the request, checks its key and does what was decided; `outcome` in place of the delivery's."""
        log = self._state.log
        exchange = log.arrived(request, await request.read())
        delivery = _wrong_key(request) or decide(exchange)
        exchange.status = delivery.status if delivery.answers else None

        def ended(end: Outcome) -> None:
            log.ended(exchange, outcome if outcome and end == "scripted" else end)

        headers = {"x-request-id": f"req_{secrets.token_hex(8)}", **delivery.headers}
        return await send(request, replace(delivery, headers=headers, steps=exchange.counted(delivery.steps)), ended)

    def _chat(self, exchange: Exchange) -> Delivery:
        body = exchange.body
        if not isinstance(body, dict):
            return refused(400, errors.invalid("We could not parse the JSON body of your request."))
        if not isinstance(body.get("model"), str) or not body["model"]:
            return refused(400, errors.invalid("you must provide a model parameter", "model"))
        if not _are_messages(body.get("messages")):
            return refused(400, errors.invalid("Invalid 'messages': expected a non-empty array of objects", "messages"))
        return deliver(self._state.scripts.take(exchange.correlation_id) or Answer(), body)


def _wrong_key(request: web.Request) -> Delivery | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip() not in ("", WRONG_KEY):
        return None
    return refused(401, errors.wrong_key(key.strip()))


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def _list() -> dict[str, Any]:
    entries = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "stand-in"} for name in MODELS]
    return {"object": "list", "data": entries}
