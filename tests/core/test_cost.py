"""What a token costs in the pure core, counted rather than timed: the bytecodes that a recorded stream takes from
StackSpot's bytes, through the filter for calls, to the caller's. More than the baseline by far means that something
crept into the path of every token; less by far that the baseline should be recorded anew."""

import sys
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import pytest

from proxy.core.callers.chat import Chat, ChatStream
from proxy.core.filters.length import Length
from proxy.core.filters.required import RequiredCall
from proxy.core.filters.stop import Stop
from proxy.core.sse import Decoder
from proxy.core.tool_calls.filter import ToolCalls
from proxy.core.turn import Turn
from proxy.core.upstreams.openai_stream import ChunkReader, FrameRelay
from proxy.core.upstreams.stackspot import StackSpot
from proxy.core.upstreams.stackspot_stream import StackSpotReader

MARGIN = 1.25
RECORDED = {
    "a token a read": 197,
    "32 tokens a read": 22,
    "a token a read, with tools": 247,
    "32 tokens a read, with tools": 23,
    "a stop sequence": 435,
    "a call": 390,
}
"""Bytecodes per token, of Python 3.11; later versions take fewer or a little more."""

CORE = str(Path(sys.modules[Turn.__module__].__file__ or "").parent)
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
WORDS = (" The", " weather", " in", " Recife", " is", " quite", " fine", " today", ",", " não", " é", ".")
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife", "days": [1, 2, 3]}\nFUNCTION_CALL_END\n'


def events(texts: Iterable[str]) -> list[bytes]:
    return [b"data: " + orjson.dumps({"message": text}) + b"\n\n" for text in texts]


END = b'data: {"message": "", "stop_reason": "stop", "tokens": {"input": 1, "output": 1}}\n\n'


def turn(**parameters: object) -> Turn:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]} | parameters
    chat = Chat()
    made = Turn(chat.read(orjson.dumps(body), "id", 1), chat.stream)
    made.begin(StackSpot("m", "agent", b"secret"))
    return made


def bytecodes(turn: Turn, reads: list[bytes]) -> int:
    """How many are executed in the core while ``turn`` is fed with ``reads``."""
    count = 0

    def local(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(CORE):
            return None
        frame.f_trace_opcodes = True
        return local

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for read in reads:
            turn.receive_data(read)
    finally:
        sys.settrace(before)
    return count


def case(name: str) -> tuple[Turn, list[bytes], int]:
    """A turn, what it reads, and how many tokens that is."""
    texts = list(WORDS) * 32
    parameters: dict[str, object] = {}
    if "with tools" in name or name == "a call":
        parameters["tools"] = [TOOL]
    if name == "a stop sequence":
        parameters["stop"] = ["Observation:"]
    if name == "a call":
        texts = [*texts[:96], "\n", *(CALL[at : at + 4] for at in range(0, len(CALL), 4))]
    made = events(texts)
    at_once = 32 if name.startswith("32") else 1
    reads = [b"".join(made[at : at + at_once]) for at in range(0, len(made), at_once)]
    return turn(**parameters), [*reads, END], len(texts)


@pytest.mark.parametrize("name", RECORDED)
def test_a_token_takes_no_more_bytecodes_than_recorded(name: str) -> None:
    warm, reads, _ = case(name)
    bytecodes(warm, reads)  # what is done once is done, and the interpreter has settled
    fed, reads, tokens = case(name)
    spent = bytecodes(fed, reads) / tokens
    assert fed.finish is not None
    assert RECORDED[name] / 2 < spent < RECORDED[name] * MARGIN, f"{name}: {spent:.0f} bytecodes a token"


PASSED = [Turn, Decoder, ToolCalls, Stop, Length, RequiredCall, ChatStream, StackSpotReader, FrameRelay, ChunkReader]


@pytest.mark.parametrize("kind", PASSED)
def test_what_a_token_passes_has_slots(kind: type) -> None:
    """Dictionaries of their own made a token of one in 200 streams a fifth dearer."""
    assert "__dict__" not in dir(kind)


def test_a_long_answer_leaves_nothing_behind() -> None:
    """What is held does not grow with the answer."""
    fed = turn(tools=[TOOL])
    reads = [b"".join(events(WORDS))] * 200
    for read in reads:
        fed.receive_data(read)
    tracemalloc.start()
    try:
        for read in reads * 4:
            fed.receive_data(read)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4096
