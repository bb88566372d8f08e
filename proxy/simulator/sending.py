"""Doing what a delivery says, on a real socket."""

import asyncio
import socket
import struct
from collections.abc import Callable

from aiohttp import web

from .delivery import Delivery
from .ledger import Outcome
from .script import Ending

Ended = Callable[[Outcome], None]

_WRITES_PER_TURN = 16


async def send(request: web.Request, delivery: Delivery, ended: Ended) -> web.StreamResponse:
    """Answers the request; `ended` is told how, before the linger and the last bytes of HTTP's framing."""
    response = web.StreamResponse(status=delivery.status, headers=delivery.headers)
    try:
        await _wait(delivery.before_status_s)
        if delivery.answers:
            await response.prepare(request)
            await _write(response, delivery)
        ended(delivery.outcome)
        await _wait(delivery.linger_s)
        if delivery.ending == "clean" and delivery.answers:
            await response.write_eof()
        else:
            _hang_up(request, delivery.ending)
    except asyncio.CancelledError:  # how aiohttp tells a handler that its client has gone
        ended("client_closed")
        raise
    except ConnectionError:
        ended("client_closed")
    return response


async def _write(response: web.StreamResponse, delivery: Delivery) -> None:
    per_turn = 1 if delivery.writes_alone else _WRITES_PER_TURN
    writes = 0
    for step in delivery.steps:
        if isinstance(step, float):
            await asyncio.sleep(step)
            continue
        await response.write(step)
        writes += 1
        if writes % per_turn == 0:
            await asyncio.sleep(0)


async def _wait(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)


def _hang_up(request: web.Request, ending: Ending) -> None:
    """Ends the connection beneath HTTP; aiohttp takes it as a client that went away."""
    transport = request.transport
    if transport is None:
        return
    if ending == "reset":
        # Closing with a linger time of zero sends RST in place of FIN.
        at_once = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        transport.abort()
    else:
        transport.close()
