"""Bytes to and fro: from the upstream's reply through the turn to the caller."""

from collections.abc import Awaitable, Callable

from proxy.core.turn import RoundEnd, Turn
from proxy.dispatch.transport import Reply

Write = Callable[[bytes], Awaitable[None]]


async def pump(reply: Reply, turn: Turn, write: Write) -> RoundEnd:
    """Passes on an answer while it comes: one read, at most one write, whose await is the backpressure."""
    while piece := await reply.read():
        if out := turn.receive_data(piece):
            await write(out)
        if turn.round_over:
            break
    return turn.receive_eof()
