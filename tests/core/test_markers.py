"""The marker machine: the case table of tool calls out of text, each case through every cut."""

import pytest

from proxy.core.answer import Finish, FinishReason
from proxy.core.call import Tool
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.tool_calls.head import HEADER_LIMIT
from proxy.core.tool_calls.markers import MarkerPair
from proxy.core.tool_calls.other_formats import OBJECT_LIMIT
from proxy.core.tool_calls.scanner import LEAD_LIMIT
from proxy.errors import ToolCallUnreadable, UpstreamTruncated
from tests.support.answers import Notes, Told
from tests.support.cuts import same_however_cut

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
TOOLS = [
    Tool("go"),
    Tool("Look_Up"),
    Tool("step", parameters={"type": "object", "properties": {"step_id": {"type": "string"}}}),
]


def machine(notes: Notes, **policy: object) -> ToolCalls:
    parallel = bool(policy.pop("parallel", True))
    return ToolCalls(
        notes,
        MarkerPair(S, E),
        TOOLS,
        seed="seed",
        policy=ToolPolicy(**policy),
        parallel=parallel,  # type: ignore[arg-type]
    )


def read(pieces: list[str], reason: FinishReason = "stop", **policy: object) -> Told:
    notes = Notes()
    markers = machine(notes, **policy)
    for piece in pieces:
        markers.text(piece)
    markers.finish(Finish(reason))
    return notes.told


def call(arguments: str, name: str = "go") -> tuple[str, str, str]:
    return ("call", name, arguments)


CALLS: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "a call": (f'{S}\ngo\narguments: {{"a": 1}}\n{E}', [call('{"a": 1}')]),
    "function_name: before the name": (f"{S}\nfunction_name: go\narguments: {{}}\n{E}", [call("{}")]),
    "no arguments": (f"{S}\ngo\n{E}", [call("{}")]),
    "an empty arguments line": (f"{S}\ngo\narguments:\n{E}", [call("{}")]),
    "null for arguments": (f"{S}\ngo\narguments: null\n{E}", [call("{}")]),
    "None for arguments": (f"{S}\ngo\narguments: None\r\n{E}", [call("{}")]),
    "arguments without their label": (f'{S}\ngo\n{{"a": 1}}\n{E}', [call('{"a": 1}')]),
    "arguments on the next line": (f'{S}\ngo\narguments:\n{{"a": 1}}\n{E}', [call('{"a": 1}')]),
    "pretty-printed and nested": (
        f'{S}\ngo\narguments: {{\n "a": {{"b": [1]}}\n}}\n{E}',
        [call('{\n "a": {"b": [1]}\n}')],
    ),
    "CR LF": (f'{S}\r\ngo\r\narguments: {{"a": 1}}\r\n{E}\r\n', [call('{"a": 1}')]),
    "arguments in a code fence": (f'{S}\ngo\narguments:\n```json\n{{"a": 1}}\n```\n{E}', [call('{"a": 1}')]),
    "the whole call in a code fence": (f"```\n{S}\ngo\narguments: {{}}\n{E}\n```", [call("{}")]),
    "text, then a fenced call": (f"x\n```json\n{S}\ngo\n{{}}\n{E}\n```\n", [("text", "x"), call("{}")]),
    "the end marker in a string": (f'{S}\ngo\narguments: {{"a": "\\n{E}"}}\n{E}', [call(f'{{"a": "\\n{E}"}}')]),
    "the start marker in a string": (f'{S}\ngo\narguments: {{"a": "{S}"}}\n{E}', [call(f'{{"a": "{S}"}}')]),
    "a raw newline in a string": (f'{S}\ngo\narguments: {{"a": "x\ny"}}\n{E}', [call('{"a": "x\\ny"}')]),
    "a trailing comma, True and None": (
        f'{S}\ngo\narguments: {{"a": True, "b": None,}}\n{E}',
        [call('{"a": true, "b": null}')],
    ),
    "arguments as one quoted string": (f'{S}\ngo\narguments: "{{\\"a\\": 1}}"\n{E}', [call('{"a": 1}')]),
    "the end marker is missing": (f'{S}\ngo\narguments: {{"a": 1}}', [call('{"a": 1}')]),
    "a stray bracket behind": (f'{S}\ngo\narguments: {{"a": 1}}}}\n{E}', [call('{"a": 1}')]),
    "two calls": (f"{S}\ngo\n{{}}\n{E}\n{S}\ngo\n{{}}\n{E}", [call("{}"), call("{}")]),
    "two calls glued together": (f"{S}\ngo\n{{}}\n{E}{S}\ngo\n{{}}\n{E}", [call("{}"), call("{}")]),
    "a start marker closes a call": (f"{S}\ngo\n{{}}\n{S}\ngo\n{{}}\n{E}", [call("{}"), call("{}")]),
    "text between and behind is dropped": (
        f"{S}\ngo\n{{}}\n{E}\nnow\n{S}\ngo\n{{}}\n{E}\nend",
        [call("{}"), call("{}")],
    ),
    "text before is kept": (f"Let me see.\n\n{S}\ngo\n{{}}\n{E}", [("text", "Let me see."), call("{}")]),
    "white space before is dropped": (f"\n\n {S}\ngo\n{{}}\n{E}", [call("{}")]),
    "an unknown name is passed on": (f"{S}\nnope\n{{}}\n{E}", [call("{}", "nope")]),
    "the case of a name is mended": (f"{S}\nlook_up\n{{}}\n{E}", [call("{}", "Look_Up")]),
    "a functions. prefix is mended": (f"{S}\nfunctions.go\n{{}}\n{E}", [call("{}")]),
    "quotes round a name": (f"{S}\n`go`\n{{}}\n{E}", [call("{}")]),
    "the platform's own arguments go": (f'{S}\ngo\n{{"step_id": "1", "a": 2}}\n{E}', [call('{"a": 2}')]),
    "nothing else changes with them": (
        f'{S}\ngo\n{{"step_id": "1", "n": 123456789012345678901234567890}}\n{E}',
        [call('{"n": 123456789012345678901234567890}')],
    ),
    "prose on the next line, no end marker": (f'{S}\ngo\n{{"a": 1}}\nI called it.', [call('{"a": 1}')]),
    "prose on the next line, then another call": (
        f"{S}\ngo\n{{}}\nI called it.\n{S}\ngo\n{{}}\n{E}",
        [call("{}"), call("{}")],
    ),
    "CR LF and a blank line in a fence": (f"```json\r\n\r\n{S}\r\ngo\r\n{{}}\r\n{E}\r\n```", [call("{}")]),
    "unless the schema has them": (f'{S}\nstep\n{{"step_id": "1"}}\n{E}', [call('{"step_id": "1"}', "step")]),
}
PROSE = {
    "no marker": "Hello, world.\nBye.",
    "no name": f"{S}\nis how a call begins",
    "the marker in a sentence": f"The marker {S} opens a call.",
    "the marker at the end of a sentence": f"A call begins with {S}.",
    "half a marker at the end": "x\nFUNCTION_CAL",
    "half a marker, then something else": "x\nFUNCTION_CALL of duty",
    "an end marker alone": f"x\n{E}\ny",
    "white space at the end": "x \n\n",
    "a code fence": "```python\nprint()\n```\n",
    "a fence at the end": "x\n```",
    "F at line starts": "For\nFUN\n\nFix",
    "markers of another request": f"{S}_k3f9\ngo\n{{}}\n{E}_k3f9",
    "the end marker for a name": f"{S}\n{E}\n",
}
BROKEN = {
    "an unescaped quote": f'{S}\ngo\narguments: {{"a": "x "y" z"}}\n{E}',
    "an unescaped quote at the end": f'{S}\ngo\narguments: {{"a": "x"}}"}}\n{E}',
    "a quote that closes the object": f'{S}\ngo\n{{"content": "a "}}; b"}}\n{E}',
    "a quote that closes it, and no end marker": f'{S}\ngo\n{{"content": "a "}}; b"}}',
    "a quote that closes it before a line break": f'{S}\ngo\n{{"code": "if a == "}}\n  print(1)", "path": "/a"}}\n{E}',
    "a quote that closes it before a tag": f'{S}\ngo\n{{"content": "<a href="}}>x</a>"}}\n{E}',
    "a string that is none": f'{S}\ngo\narguments: "\\uZZZZ"\n{E}',
    "not an object": f"{S}\ngo\narguments: city=Rome\n{E}",
    "a word that begins like null": f"{S}\ngo\narguments: nullable\n{E}",
    "a list": f"{S}\ngo\narguments: [1]\n{E}",
    "a string that holds no object": f'{S}\ngo\narguments: "Rome"\n{E}',
    "the text ends inside": f'{S}\ngo\narguments: {{"a": ',
    "the text ends behind the label": f"{S}\ngo\narguments:",
    "the text ends behind a known name": f"{S}\ngo\n",
    "grammar": f'{S}\ngo\narguments: {{"a" 1}}\n{E}',
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(case: str) -> None:
    text, expected = CALLS[case]
    assert [*expected, ("finish", "tool_calls")] == same_however_cut(text, read)


@pytest.mark.parametrize("case", PROSE)
def test_prose(case: str) -> None:
    assert [("text", PROSE[case]), ("finish", "stop")] == same_however_cut(PROSE[case], read)


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str) -> None:
    """A block that cannot be read never comes out as text."""
    assert [("fail", "tool_call_parse_error")] == same_however_cut(BROKEN[case], read)


def test_a_broken_call_can_be_shown_to_the_model() -> None:
    notes = Notes()
    markers = machine(notes)
    markers.text("Well.\n" + BROKEN["an unescaped quote"])
    markers.finish(Finish("stop"))
    assert isinstance(notes.error, ToolCallUnreadable)
    assert notes.error.written.startswith(f"{S}\ngo\narguments: ")
    assert "'y'" in notes.error.fault


def test_calls_before_a_broken_one_go_out() -> None:
    text = f"{S}\ngo\n{{}}\n{E}\n" + BROKEN["grammar"]
    assert [call("{}"), ("fail", "tool_call_parse_error")] == same_however_cut(text, read)


@pytest.mark.parametrize("case", ["the text ends inside", "the text ends behind the label"])
def test_out_of_length_inside_a_call(case: str) -> None:
    """The upstream said why the call is not whole: no repair, no call."""
    assert [("finish", "length")] == same_however_cut(BROKEN[case], lambda pieces: read(pieces, "length"))


def test_keep_text() -> None:
    text = f"a\n```\n{S}\ngo\n{{}}\n{E}\n```\nb\n{S}\ngo\n{{}}\n{E}\nc"
    told = same_however_cut(text, lambda pieces: read(pieces, keep_text=True))
    assert [("text", "a"), call("{}"), ("text", "b"), call("{}"), ("text", "\nc"), ("finish", "tool_calls")] == told


@pytest.mark.parametrize("case", CALLS)
def test_streamed_arguments_are_the_same(case: str) -> None:
    if "platform" in case or "nothing else" in case:
        return  # what has gone out cannot be taken back
    text, expected = CALLS[case]
    told = same_however_cut(text, lambda pieces: read(pieces, stream_arguments=True))
    assert [*expected, ("finish", "tool_calls")] == told


def test_streamed_arguments_come_early() -> None:
    notes = Notes()
    markers = machine(notes, stream_arguments=True)
    markers.text(f'{S}\ngo\narguments: {{"a": "begun')
    assert [call('{"a": "begun')] == notes.told


def test_held_arguments_come_whole() -> None:
    notes = Notes()
    markers = machine(notes)
    markers.text(f'{S}\ngo\narguments: {{"a": "begun')
    assert [] == notes.told
    markers.text(f'"}}\n{E}')
    assert [call('{"a": "begun"}')] == notes.told


def test_many_markers_in_one_piece() -> None:
    """Reading goes on in short steps: what is left of a long piece is not copied for each marker in it."""
    told = read([f"{S}\nx x\n" * 20_000])
    assert (f"{S}\nx x\n" * 20_000, "stop") == (told[0][1], told[1][1])
    assert 5_001 == len(read([f"{S}\ngo\n{{}}\n{E}\n" * 5_000]))


def test_not_parallel() -> None:
    text = f"{S}\ngo\n{{}}\n{E}\n{S}\nstep\n{{}}\n{E}"
    told = same_however_cut(text, lambda pieces: read(pieces, parallel=False))
    assert [call("{}"), ("finish", "tool_calls")] == told


def test_arguments_have_a_limit() -> None:
    text = f'{S}\ngo\narguments: {{"a": "{"x" * 100}"}}\n{E}'
    told = same_however_cut(text, lambda pieces: read(pieces, max_arguments=50))
    assert [("fail", "tool_call_parse_error")] == told


def test_ids_are_distinct_and_well_formed() -> None:
    notes = Notes()
    markers = machine(notes)
    markers.text(CALLS["two calls"][0])
    markers.finish(Finish("stop"))
    assert 2 == len(set(notes.ids))
    assert all(made.startswith("call_") and len(made) == 29 and made[5:].isalnum() for made in notes.ids)


def test_a_failure_releases_text_that_was_held_back() -> None:
    notes = Notes()
    markers = machine(notes)
    markers.text("Hello\nFUNCTION_CAL")
    markers.fail(UpstreamTruncated("broken off"))
    assert [("text", "Hello\nFUNCTION_CAL"), ("fail", "upstream_truncated")] == notes.told


def test_a_failure_does_not_release_half_a_call() -> None:
    notes = Notes()
    markers = machine(notes)
    markers.text(f'Hello\n{S}\ngo\narguments: {{"a":')
    markers.fail(UpstreamTruncated("broken off"))
    assert [("text", "Hello"), ("fail", "upstream_truncated")] == notes.told


def test_text_without_markers_is_not_held() -> None:
    notes = Notes()
    markers = machine(notes)
    for word in ("Hello", " world", ", For", " you:", "\nnext"):
        markers.text(word)
        assert "".join(told[1] for told in notes.told).endswith(word)


@pytest.mark.parametrize("unit", ["x", " ", "\n", "F", "`", f"{S} ", f"{S}\n", f"{S}\ngo\n", f'{S}\ngo\n{{"a": "x'])
def test_what_is_held_is_bounded(unit: str) -> None:
    """However long the text, only so much of it is looked at again when more comes: so reading is linear."""
    text = unit + unit[-1] * 20_000 if unit.endswith("x") else unit * (20_000 // len(unit))
    markers = machine(Notes())
    for at in range(0, len(text), 7):
        markers.text(text[at : at + 7])
        assert len(markers._held) + markers._block.held <= 2 * HEADER_LIMIT


@pytest.mark.parametrize(
    "unit",
    [
        "<tool_call> ",
        "<",
        "{",
        '{"name": "',
        "[",
        "[TOOL_CALLS]",
        "go(",
        "```json\n",
        "Action: ",
        "<think",
        "<think>",
        "ac",
    ],
)
def test_what_is_held_for_other_formats_is_bounded(unit: str) -> None:
    text = unit * (30_000 // len(unit))
    for prefix in ("", "x\n"):
        markers = machine(Notes())
        for at in range(0, len(text), 7):
            markers.text(prefix + text[at : at + 7] if not at else text[at : at + 7])
            assert len(markers._held) <= OBJECT_LIMIT + 2 * LEAD_LIMIT
