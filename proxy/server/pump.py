"""Bytes to and fro: from the upstream's reply through the turn to the caller."""

import asyncio
from typing import Protocol

from proxy.core.turn import RoundEnd, Turn
from proxy.dispatch.transport import Reply


class Sink(Protocol):
    """Where an answer goes."""

    def send(self, data: bytes) -> bool:
        """Takes whole messages if that can be done without waiting; False when they have to be written."""

    async def write(self, data: bytes) -> None:
        """Takes whole messages; returns when there is room for more."""


async def pump(reply: Reply, turn: Turn, sink: Sink) -> RoundEnd:
    """Passes on an answer while it comes: one read, at most one write. Usually all of it happens where the read
    does, without waking this task; that is woken to wait for a caller who does not keep up, which is the
    backpressure, and at the end."""
    held = b""

    def take(data: bytes) -> bool:
        nonlocal held
        out = turn.receive_data(data)
        if out and not sink.send(out):
            held = out
            return False
        return not (turn.round_over or turn.pending)

    while not turn.round_over:
        if turn.pending:
            await asyncio.sleep(0)
            if out := turn.receive_data(b""):
                await sink.write(out)
            continue
        await reply.hand_on(take)
        if held:
            await sink.write(held)
            held = b""
        elif not (turn.round_over or turn.pending):
            piece = await reply.read()
            if not piece:
                break
            if out := turn.receive_data(piece):
                await sink.write(out)
    return turn.receive_eof()
