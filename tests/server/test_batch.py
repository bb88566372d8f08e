"""What is written in one turn of the loop goes out at its end, each answer's pieces in order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from proxy.server.batch import MOST, Batch
from proxy.server.connection import Connection
from proxy.server.outlet import Outlet
from proxy.telemetry.record import Record


class Wire:
    """A caller's transport; ``got`` is shared with others where the order among them matters."""

    def __init__(self, got: list[bytes] | None = None) -> None:
        self.got = [] if got is None else got
        self.closed = False
        self.aborted = False
        self.broken = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        if self.broken:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.got.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


def chunks(*datas: bytes) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(data), data) for data in datas]


async def test_writes_wait_for_the_end_of_the_turn() -> None:
    batch, got = Batch(), list[bytes]()
    one, other = Wire(got), Wire(got)
    writes: list[tuple[Any, bytes]] = [(one, b"1"), (other, b"2"), (one, b"3")]
    for wire, data in writes:
        batch.write(wire, data)
    assert not got
    await asyncio.sleep(0)
    assert chunks(b"1", b"2", b"3") == got
    batch.write(writes[0][0], b"4")
    await asyncio.sleep(0)
    assert chunks(b"1", b"2", b"3", b"4") == got


async def test_many_do_not_wait() -> None:
    batch, wire = Batch(), Wire()
    to: Any = wire
    for number in range(MOST + 1):
        batch.write(to, b"%d" % number)
    assert MOST == len(wire.got)
    await asyncio.sleep(0)
    assert MOST + 1 == len(wire.got)


async def test_a_caller_that_has_left_is_left_out() -> None:
    batch, gone, here = Batch(), Wire(), Wire()
    wires: list[Any] = [gone, here]
    for wire in wires:
        batch.write(wire, b"x")
    gone.close()
    await asyncio.sleep(0)
    assert ([], chunks(b"x")) == (gone.got, here.got)


async def test_a_write_that_fails_costs_nobody_else_a_token() -> None:
    """And its own answer, which has a hole now, is not ended as if it were whole."""
    batch, broken, here = Batch(), Wire(), Wire()
    broken.broken = True
    wires: list[Any] = [broken, here]
    for wire in wires:
        batch.write(wire, b"x")
    await asyncio.sleep(0)
    assert (True, chunks(b"x"), False) == (broken.aborted, here.got, here.aborted)


@pytest.mark.parametrize(
    ("then", "told"),
    {
        "more, with a wait": (lambda outlet: outlet.write(b"error"), b"5\r\nerror\r\n"),
        "the end": (lambda outlet: outlet.close(), b"0\r\n\r\n"),
        "a sign of life": (lambda outlet: outlet.keepalive(), b"d\r\n: keepalive\n\n\r\n"),
    }.values(),
    ids=lambda value: None if isinstance(value, bytes) else "",
)
async def test_nothing_overtakes_what_waits(then: Callable[[Outlet], Awaitable[None]], told: bytes) -> None:
    wire: Any = Wire()
    over = asyncio.get_running_loop().create_future()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        outlet = Outlet(request, Record("id", "/", 0.0), web.StreamResponse(), Batch())
        await outlet.write(b"first")
        del wire.got[:]
        assert outlet.send(b"second")
        await then(outlet)
        got, wire.closed = b"".join(wire.got), True
        over.set_result((got, outlet.send(b"late")))
        return outlet.response

    connection = Connection(web.Server(handle), 5, operators=True)
    connection.connection_made(wire)
    connection.data_received(b"POST / HTTP/1.1\r\nhost: proxy\r\n\r\n")
    got, taken = await asyncio.wait_for(over, 5)
    assert b"6\r\nsecond\r\n" + told == got
    assert not taken, "a caller who is about to go must not keep the upstream at it"
    connection.connection_lost(None)
    await asyncio.sleep(0)
