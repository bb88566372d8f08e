"""The short way from read to write gives what the plain way gives, however reads, stalls and ends fall together."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.callers.chat import ChatStream
from proxy.core.turn import RoundEnd, Turn
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch import handover, transport
from proxy.dispatch.transport import Reply
from proxy.errors import ProxyError
from proxy.server.pump import pump
from tests.core.test_chat_answer import deltas
from tests.core.test_stackspot import END, sse
from tests.support.calls import a_call

WHOLE = sse(*({"message": piece} for piece in ("Olá", ", ", "mundo", "! ", "FUNCTION", " and on")), END)
Ending = str
"""How the upstream ends: clean, or broken off."""


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


def a_reply() -> tuple[aiohttp.StreamReader, Reply]:
    protocol: Any = Protocol()
    content = aiohttp.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    response: Any = SimpleNamespace(status=200, headers={}, content=content, connection=None, release=lambda: None)
    return content, Reply(response, set())


async def passed_on(
    reads: list[bytes], pauses: list[bool], keeps_up: list[bool], ending: Ending
) -> tuple[bytes, RoundEnd | type[ProxyError]]:
    """What the caller got of these reads, between which the loop had time or not, and how it ended."""
    content, reply = a_reply()
    call = a_call("Hi", stream=True)
    turn = Turn(call, ChatStream)
    turn.begin(StackSpot("m", "01AGENT", b"secret"))
    caller = Caller(list(keeps_up))
    task = asyncio.create_task(pump(reply, turn, caller))
    for read, pause in zip(reads, pauses, strict=True):
        if pause:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        content.feed_data(read)
    if ending == "clean":
        content.feed_eof()
    else:
        content.set_exception(aiohttp.ClientPayloadError("broken off"))
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


@settings(max_examples=300, deadline=None)
@given(data=st.data(), ending=st.sampled_from(["clean", "broken off"]), whole=st.booleans())
def test_both_ways_give_the_same(data: st.DataObject, ending: Ending, whole: bool) -> None:
    body = WHOLE if whole else WHOLE[: data.draw(st.integers(0, len(WHOLE) - 1), label="cut")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12), label="reads"))
    reads = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
    pauses = data.draw(st.lists(st.booleans(), min_size=len(reads), max_size=len(reads)), label="pauses")
    keeps_up = data.draw(st.lists(st.booleans(), max_size=8), label="keeps up")

    def run() -> tuple[bytes, Any]:
        return asyncio.run(passed_on(reads, pauses, keeps_up, ending))

    short = run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "FITS", False)
        assert _text(run()) == _text(short)


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
        await task
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
