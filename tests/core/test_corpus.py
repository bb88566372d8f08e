"""The outputs of nine model families that canitoolcall collects, written in the marker form by rule.

Each becomes: its reasoning between tags, its content, and a block for each of its calls, glued together or on lines of
their own. Then each is cut short at several places. The outputs as they are must never run: they are in other formats.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from canitoolcall.fixtures import Fixture, load_fixtures

from proxy.core.answer import Finish
from proxy.core.call import Tool
from proxy.core.callers.chat import ChatStream, ChatWhole
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.tool_calls.markers import MarkerPair
from proxy.core.turn import Turn
from proxy.errors import CallInDoubt
from tests.core.test_chat_answer import deltas
from tests.core.test_stackspot import END, sse
from tests.core.test_turn import AGENT
from tests.support.answers import Notes
from tests.support.calls import a_call

pytestmark = pytest.mark.slow

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
FIXTURES = list(load_fixtures())
FAMILIES = sorted({fixture.family for fixture in FIXTURES})
CUTS = 24
ASKED = {"gpt-oss/harmony-final-json-lookalike"}
"""Answers in words that are JSON as a whole and name an offered tool with arguments: the model is asked."""
GLUED, LINES = "", "\n"


def tools_of(fixture: Fixture) -> tuple[Tool, ...]:
    functions = [tool.get("function", tool) for tool in fixture.tools]
    return tuple(Tool(f["name"], f.get("description", ""), f.get("parameters", {})) for f in functions)


def marker_form(fixture: Fixture, between: str) -> str:
    assert fixture.expected is not None
    blocks = [
        f"{S}\n{call.name}\narguments: {json.dumps(call.arguments, ensure_ascii=False)}\n{E}"
        for call in fixture.expected.tool_calls
    ]
    reasoning = fixture.expected.reasoning_content
    thought = f"<think>\n{reasoning}\n</think>\n\n" if reasoning else ""
    return thought + between.join([*([fixture.expected.content] if fixture.expected.content else []), *blocks])


def read(fixture: Fixture, text: str, dice: random.Random) -> Notes:
    notes = Notes()
    calls = ToolCalls(notes, MarkerPair(S, E), tools_of(fixture), seed="s", policy=ToolPolicy())
    at = 0
    while at < len(text):
        size = dice.choice((1, 3, 7, 1000))
        calls.text(text[at : at + size])
        at += size
    calls.finish(Finish("stop"))
    return notes


def calls_of(notes: Notes) -> list[tuple[str, Any]]:
    return [(told[1], json.loads(told[2])) for told in notes.told if told[0] == "call"]


def text_of(notes: Notes) -> str:
    return "".join(told[1] for told in notes.told if told[0] == "text")


def meant(fixture: Fixture) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in fixture.expected.tool_calls] if fixture.expected else []


def of(family: str) -> Iterator[tuple[Fixture, random.Random]]:
    for fixture in FIXTURES:
        if fixture.family == family:
            yield fixture, random.Random(fixture.id)


def test_all_of_it_is_there() -> None:
    assert (469, 9) == (len(FIXTURES), len(FAMILIES))


@pytest.mark.parametrize("between", [GLUED, LINES], ids=["glued", "lines"])
@pytest.mark.parametrize("family", FAMILIES)
def test_calls_in_the_marker_form(family: str, between: str) -> None:
    for fixture, dice in of(family):
        if fixture.expected is None:
            continue
        notes = read(fixture, marker_form(fixture, between), dice)
        assert meant(fixture) == calls_of(notes), fixture.id
        if isinstance(notes.error, CallInDoubt):
            assert fixture.id in ASKED
            continue
        assert (fixture.expected.content or "").strip() == text_of(notes).strip(), fixture.id
        assert notes.error is None, fixture.id


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_in_the_marker_form_that_are_cut_short(family: str) -> None:
    """No wrong call, and no marker as text. Whether more was meant, the model is asked."""
    for fixture, dice in of(family):
        if not meant(fixture):
            continue
        text = marker_form(fixture, dice.choice((GLUED, LINES)))
        opened = text.index(S) + len(S)
        for cut in [opened, opened + 1, opened + 3, *(dice.randrange(opened, len(text)) for _ in range(CUTS))]:
            notes = read(fixture, text[:cut], dice)
            made = calls_of(notes)
            assert meant(fixture)[: len(made)] == made, (fixture.id, text[:cut])
            assert S not in text_of(notes), (fixture.id, text[:cut])
            assert made or notes.error is not None, (fixture.id, text[:cut])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_outputs_as_they_are_never_run(family: str) -> None:
    for fixture, dice in of(family):
        assert [] == calls_of(read(fixture, fixture.raw_output, dice)), fixture.id


def test_nearly_all_calls_in_their_own_formats_are_asked_about() -> None:
    asked = [
        fixture for fixture in FIXTURES if meant(fixture) and read(fixture, fixture.raw_output, random.Random(1)).error
    ]
    assert len(asked) >= 0.97 * len([fixture for fixture in FIXTURES if meant(fixture)])


@pytest.mark.parametrize("family", FAMILIES)
def test_stream_and_whole_tell_the_same(family: str) -> None:
    for fixture, dice in of(family):
        text = fixture.raw_output if fixture.expected is None else marker_form(fixture, GLUED)
        if dice.random() < 0.3:
            text = text[: dice.randint(1, len(text))]
        streamed, whole = (told(fixture, text, stream=stream, dice=dice) for stream in (True, False))
        assert streamed == whole, fixture.id


def told(fixture: Fixture, text: str, *, stream: bool, dice: random.Random) -> tuple[str, list[tuple[str, str]], bool]:
    """The text and the calls of the first round, and whether another one follows."""
    turn = Turn(a_call("Hello", tools=tools_of(fixture), stream=stream), ChatStream if stream else ChatWhole)
    turn.begin(AGENT)
    data = sse({"message": text}, END)
    size = dice.choice((1, 7, 100, 100_000))
    out = b"".join(turn.receive_data(data[at : at + size]) for at in range(0, len(data), size))
    end = turn.receive_eof()
    if end.again is not None or end.error is not None:
        return "", [(call.name, str(call.size)) for call in turn.calls], True
    out += end.out
    if not stream:
        message = json.loads(out)["choices"][0]["message"]
        made = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]
        return message["content"] or "", made, False
    pieces = [piece for delta in deltas(out) for piece in delta.get("tool_calls", [])]
    names = {piece["index"]: piece["function"]["name"] for piece in pieces if "id" in piece}
    made = [
        (name, "".join(piece["function"]["arguments"] for piece in pieces if piece["index"] == index))
        for index, name in names.items()
    ]
    return "".join(delta.get("content") or "" for delta in deltas(out)), made, False
