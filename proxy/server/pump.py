"""Bytes to and fro: from the upstream's reply through the turn to the caller."""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.core.turn import RoundEnd, Turn
from proxy.dispatch.transport import Reply
from proxy.errors import ProxyError

Write = Callable[[bytes], Awaitable[None]]

CLOSING_S = 0.25
"""How long an upstream may take to end its response behind the answer's end, for its connection to be kept."""


async def pump(reply: Reply, turn: Turn, write: Write) -> RoundEnd:
    """Passes on an answer while it comes: one read, at most one write, whose await is the backpressure."""
    while piece := await reply.read():
        if out := turn.receive_data(piece):
            await write(out)
        if turn.round_over:
            break
    return turn.receive_eof()


async def settle(reply: Reply) -> None:
    """Reads what is left behind the end of an answer, normally nothing, so that its connection can be used again."""
    try:
        async with asyncio.timeout(CLOSING_S):
            while not reply.at_end() and await reply.read():
                pass
    except (TimeoutError, ProxyError):
        pass
