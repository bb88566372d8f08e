"""The way of every request of a model: noted, decided, answered."""

import time
from collections.abc import Callable

import orjson
from aiohttp import web

from .delivery import Delivery
from .ledger import Exchange, Ledger, Outcome
from .sending import send

Decide = Callable[[Exchange, str], Delivery]
"""What to answer, by the request and its authorization."""


async def answer(request: web.Request, ledger: Ledger, decide: Decide) -> web.StreamResponse:
    arrived = time.monotonic()
    exchange = _exchange(request, await request.read(), arrived)
    ledger.arrived(exchange)
    delivery = decide(exchange, request.headers.get("Authorization", ""))
    exchange.status = delivery.status if delivery.answers else None
    if delivery.generates:
        ledger.generation(exchange)

    def ended(outcome: Outcome) -> None:
        ledger.ended(exchange, outcome)

    return await send(request, delivery, ended)


def _exchange(request: web.Request, raw: bytes, arrived: float) -> Exchange:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "authorization" in headers:
        headers["authorization"] = "***"
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    agent_id, correlation_id = request.match_info.get("agent_id", ""), headers.get("correlation-id")
    return Exchange(agent_id, headers, correlation_id, body, len(raw), arrived)
