"""The short way from read to write gives what the plain way gives, however reads, stalls and ends fall together."""

import asyncio
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.callers.chat import ChatStream
from proxy.core.turn import RoundEnd, Turn
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch import handover, slices, transport
from proxy.dispatch.slices import SlicedHandler
from proxy.dispatch.transport import Reply
from proxy.errors import ProxyError
from proxy.server.pump import pump
from tests.core.test_chat_answer import deltas
from tests.core.test_stackspot import END, sse
from tests.support.calls import a_call

WHOLE = sse(*({"message": piece} for piece in ("Olá", ", ", "mundo", "! ", "FUNCTION", " and on")), END)
Ending = str
"""How the connection ends."""


class Protocol:
    """What a reader asks of its connection."""

    connected = True
    rest = b""
    """What its parser kept back while the reader was full."""

    def pause_reading(self) -> None: ...
    def resume_reading(self, resume_parser: bool = True) -> None:
        if resume_parser and self.rest:
            rest, self.rest = self.rest, b""
            self.content.feed_data(rest)

    content: aiohttp.StreamReader


class Caller:
    """A sink that keeps up or does not, as told; ``awaited`` counts the writes that had to wait."""

    def __init__(self, keeps_up: list[bool]) -> None:
        self.got = b""
        self.awaited = 0
        self._keeps_up = keeps_up

    def send(self, data: bytes) -> bool:
        if self._keeps_up and not self._keeps_up.pop(0):
            return False
        self.got += data
        return True

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.awaited += 1
        self.got += data


class Wire:
    """The transport of an upstream's connection: what is fed to it reaches whichever protocol it has."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert isinstance(self.protocol, asyncio.BaseProtocol)
        return self.protocol

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


async def a_chunked_reply() -> tuple[Wire, Reply]:
    """A reply whose headers have come by aiohttp's own parser."""
    wire: Any = Wire()
    protocol = SlicedHandler(asyncio.get_running_loop())
    wire.set_protocol(protocol)
    protocol.connection_made(wire)
    protocol.set_response_params()
    protocol.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    message, content = await protocol.read()
    connection = SimpleNamespace(transport=wire, protocol=protocol)
    response: Any = SimpleNamespace(
        status=200, headers=message.headers, content=content, connection=connection, release=lambda: None
    )
    return wire, Reply(response, set())


def a_reply() -> tuple[aiohttp.StreamReader, Reply]:
    protocol: Any = Protocol()
    content = aiohttp.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    response: Any = SimpleNamespace(status=200, headers={}, content=content, connection=None, release=lambda: None)
    return content, Reply(response, set())


async def passed_on(
    reads: list[bytes], pauses: list[bool], keeps_up: list[bool], ending: Ending
) -> tuple[bytes, RoundEnd | type[ProxyError]]:
    """What the caller got of these reads, between which the loop had time or not, and how it ended."""
    wire, reply = await a_chunked_reply()
    call = a_call("Hi", stream=True)
    turn = Turn(call, ChatStream)
    turn.begin(StackSpot("m", "01AGENT", b"secret"))
    caller = Caller(list(keeps_up))
    task = asyncio.create_task(pump(reply, turn, caller))
    for read, pause in zip(reads, pauses, strict=True):
        if pause:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if not wire.closed:
            wire.protocol.data_received(read)
    wire.protocol.connection_lost(None if ending == "closed" else ConnectionResetError())
    try:
        end: RoundEnd | type[ProxyError] = await asyncio.wait_for(task, 5)
    except ProxyError as error:
        end = type(error)
    return caller.got, end


def test_the_installed_aiohttp_has_the_short_way() -> None:
    assert handover.FITS


def test_another_aiohttp_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        __slots__ = ()

        def __init__(self, *_: object, **__: object) -> None: ...

    monkeypatch.setattr(aiohttp, "StreamReader", Other)
    assert not handover._fits()


def framed(pieces: list[bytes], *, last: bool) -> list[bytes]:
    """Each as a chunk, and the last chunk of all if that came."""
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"] * last


def cut(data: st.DataObject, body: bytes, label: str, often: list[int]) -> list[bytes]:
    """``body`` in pieces; most cuts fall where they do ``often``."""
    places = st.sampled_from(often) | st.integers(0, len(body)) if often else st.integers(0, len(body))
    cuts = sorted(data.draw(st.lists(places, max_size=12), label=label))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]


@settings(max_examples=500, deadline=None)
@given(
    data=st.data(),
    ending=st.sampled_from(["closed", "reset"]),
    whole=st.booleans(),
    spoilt=st.sampled_from([b"", b"", b"zz\r\n", b"5\r\nmore than it says\r\n", b"\r\n", b"3;a=b\r\n\n\n\n\r\n"]),
)
def test_both_ways_give_the_same(data: st.DataObject, ending: Ending, whole: bool, spoilt: bytes) -> None:
    """Also where chunks are cut, come several to a read, or make no sense."""
    body = WHOLE if whole else WHOLE[: data.draw(st.integers(0, len(WHOLE) - 1), label="length")]
    events = [at + 2 for at in range(len(body)) if body.startswith(b"\n\n", at)]
    chunks = framed(cut(data, body, "chunks", events), last=whole)
    if spoilt:
        chunks.insert(data.draw(st.integers(0, len(chunks)), label="spoilt at"), spoilt)
    sent, ends = b"".join(chunks), list(accumulate(len(chunk) for chunk in chunks))
    reads = cut(data, sent, "reads", ends)
    pauses = data.draw(st.lists(st.booleans(), min_size=len(reads), max_size=len(reads)), label="pauses")
    keeps_up = data.draw(st.lists(st.booleans(), max_size=8), label="keeps up")
    slice_size = data.draw(st.sampled_from([16, 64, slices.SLICE]), label="slice")

    def run() -> tuple[bytes, Any]:
        return asyncio.run(passed_on(reads, pauses, keeps_up, ending))

    with pytest.MonkeyPatch.context() as patch:
        for module in (slices, handover, transport):
            patch.setattr(module, "SLICE", slice_size)
        short = run()
        patch.setattr(transport, "FITS", False)
        assert _text(run()) == _text(short)


async def test_a_read_of_whole_chunks_is_past_aiohttp() -> None:
    """Once it was seen where a chunk ends; all else goes to aiohttp, which is none the wiser."""
    wire, reply = await a_chunked_reply()
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return True

    content: Any = reply._content
    task = asyncio.create_task(reply.hand_on(take))
    await asyncio.sleep(0)
    for read in framed([b"a\n", b"b\n", b"c\n", b"d"], last=False):
        wire.protocol.data_received(read)
        await asyncio.sleep(0)
    assert ([b"a\n", b"b\n", b"c\n", b"d"], 2) == (got, content.total_bytes)
    for read in (b"3\r\nef", b"\n\r\n", *framed([b"g\n"], last=True)):
        wire.protocol.data_received(read)
        await asyncio.sleep(0)
    await asyncio.wait_for(task, 5)
    assert (b"a\nb\nc\ndef\ng\n", 5) == (b"".join(got), content.total_bytes)
    assert content.is_eof()
    assert isinstance(wire.protocol, SlicedHandler), "it has its connection back"


LOOKS_LIKE_A_CHUNK = b"3\r\nxyz\r\n"
HIDDEN = {
    "behind a part of its chunk": [b"2\r\na\n\r\n", b"c\r\nabcd", LOOKS_LIKE_A_CHUNK, b"\r\n"],
    "behind the size of its chunk": [b"2\r\na\n\r\n", b"8\r\n", LOOKS_LIKE_A_CHUNK, b"\r\n"],
    "behind a chunk and the size of its own": [b"2\r\na\n\r\n8\r\n", LOOKS_LIKE_A_CHUNK, b"\r\n"],
    "behind a part that ends like a chunk": [b"2\r\na\n\r\n", b"b\r\n\n\r\n", LOOKS_LIKE_A_CHUNK, b"\r\n"],
}


@pytest.mark.parametrize("before", [[], [b"2\r\na\n\r\n"] * 2], ids=["from the start", "behind the short cut"])
@pytest.mark.parametrize("case", HIDDEN)
async def test_what_looks_like_a_chunk_inside_of_one(case: str, before: list[bytes]) -> None:
    wire, reply = await a_chunked_reply()
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return True

    task = asyncio.create_task(reply.hand_on(take))
    await asyncio.sleep(0)
    for read in [*before, *HIDDEN[case], b"0\r\n\r\n"]:
        wire.protocol.data_received(read)
        await asyncio.sleep(0)
    await asyncio.wait_for(task, 5)
    assert b"".join(got).endswith(LOOKS_LIKE_A_CHUNK)


@pytest.mark.parametrize("before", [[b"a\n"], []], ids=["by the short cut", "by aiohttp"])
async def test_what_comes_once_enough_was_taken(before: list[bytes]) -> None:
    """It waits where it can be read, also when the loop has not got round to the task yet."""
    wire, reply = await a_chunked_reply()
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return data != b"enough\n"

    task = asyncio.create_task(reply.hand_on(take))
    await asyncio.sleep(0)
    for read in framed(before, last=False):
        wire.protocol.data_received(read)
        await asyncio.sleep(0)
    enough, more = framed([b"enough\n", b"more\n"], last=False)
    wire.protocol.data_received(enough)
    asyncio.get_running_loop().call_soon(wire.protocol.data_received, more)
    await asyncio.wait_for(task, 5)
    assert [*before, b"enough\n"] == got
    assert b"more\n" == await reply.read()


def _text(result: tuple[bytes, Any]) -> tuple[str, Any]:
    """What was told, however it was cut into chunks, and how it ended."""
    got, end = result
    told = "".join(delta.get("content") or "" for delta in deltas(got))
    return told, type(end.error) if isinstance(end, RoundEnd) else end


async def test_one_read_of_many_pieces_is_one_write() -> None:
    content, reply = a_reply()
    call = a_call("Hi", stream=True)
    turn = Turn(call, ChatStream)
    turn.begin(StackSpot("m", "01AGENT", b"secret"))
    caller = Caller([])
    task = asyncio.create_task(pump(reply, turn, caller))
    await asyncio.sleep(0)
    for piece in ("a", "b", "c"):
        content.feed_data(sse({"message": piece}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 1 == caller.got.count(b'"content":"abc"')
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert content._waiter is None
    content.feed_data(sse({"message": "late"}))
    await asyncio.sleep(0)
    assert b"late" not in caller.got


async def test_a_fault_in_the_translation_is_the_tasks() -> None:
    content, reply = a_reply()

    def take(data: bytes) -> bool:
        raise ValueError(data)

    task = asyncio.create_task(reply.hand_on(take))
    await asyncio.sleep(0)
    content.feed_data(b"x")
    with pytest.raises(ValueError, match="x"):
        await task


async def test_what_reading_itself_brings_is_not_left_lying() -> None:
    """A reader that was full gets more as soon as it is read from, without a further word to who waits."""
    content, reply = a_reply()
    protocol: Any = content._protocol
    protocol.content, protocol.rest = content, b"more"
    got: list[bytes] = []

    def take(data: bytes) -> bool:
        got.append(data)
        return not data.endswith(b"more")

    task = asyncio.create_task(reply.hand_on(take))
    await asyncio.sleep(0)
    content.feed_data(b"x" * 200_000)
    await asyncio.wait_for(task, 1)
    assert b"x" * 200_000 + b"more" == b"".join(got)
