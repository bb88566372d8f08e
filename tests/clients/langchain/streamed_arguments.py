"""Calls whose arguments go out as they come, against a proxy with ``tools.stream_arguments``."""

import json
from functools import reduce
from operator import add
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.clients.langchain.support import Simulator, block

NOTES = [{"title": f"nota {number}", "body": 'uma linha,\noutra "entre aspas" 👋 ' * 5} for number in (1, 2)]
CALLS = [block("write_note", json.dumps(note, ensure_ascii=False)) for note in NOTES]


@tool
def write_note(title: str, body: str) -> str:
    """Keeps a note."""
    return f"{title}: kept"


async def listen(model: ChatOpenAI, heard: list[AIMessageChunk]) -> None:
    """Asks, and notes the chunks of the answer as they come."""
    async for chunk in model.bind_tools([write_note]).astream("Write two notes."):
        heard.append(chunk)  # noqa: PERF401 (those before an error are wanted too)


def pieces_of(chunks: list[AIMessageChunk]) -> list[Any]:
    """The pieces of calls in them."""
    return [piece for chunk in chunks for piece in chunk.tool_call_chunks]


async def test_pieces_add_up(model: ChatOpenAI, simulator: Simulator) -> None:
    """Two calls arrive piece by piece, and ``+`` keeps them apart."""
    simulator.script({"text": "\n".join(CALLS), "delta_chars": 9, "interval_s": 0.002})
    chunks: list[AIMessageChunk] = []
    await listen(model, chunks)
    pieces = pieces_of(chunks)
    assert len(pieces) > 10
    assert [piece["name"] for piece in pieces if piece["name"]] == ["write_note", "write_note"]
    assert {piece["index"] for piece in pieces} == {0, 1}

    answer = reduce(add, chunks)
    assert [call["args"] for call in answer.tool_calls] == NOTES
    assert answer.invalid_tool_calls == []
    assert answer.response_metadata["finish_reason"] == "tool_calls"


async def test_call_broken_in_its_middle(model: ChatOpenAI, simulator: Simulator) -> None:
    """A call that breaks once its pieces went out raises: nothing of it can be taken back."""
    simulator.script({"text": CALLS[0][:100], "delta_chars": 9, "interval_s": 0.002, "repeat": True})
    chunks: list[AIMessageChunk] = []
    with pytest.raises(openai.APIError):
        await listen(model, chunks)
    assert len(pieces_of(chunks)) > 2
