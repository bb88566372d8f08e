"""Calls that are plainly meant, however a model dresses them: each case through every cut."""

import json
from collections.abc import Callable, Sequence

import pytest

from proxy.core.answer import Finish, FinishReason
from proxy.core.call import Tool
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.tool_calls.markers import MarkerPair
from proxy.errors import CallInDoubt
from tests.support.answers import Notes, Told
from tests.support.cuts import same_however_cut as same_however_cut_

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
W = '{"a": "b"}'
TOOLS = [Tool("go_to"), Tool("read_file"), Tool("write_file"), Tool("run")]
BODY = f"go_to\narguments: {W}"
BARE = MarkerPair(S, E)
PAIRS_UP_TO = 60
WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


def read_with(
    pair: MarkerPair = BARE,
    *,
    parallel: bool = True,
    ask: bool = True,
    reason: FinishReason = "stop",
    **policy: bool,
) -> Callable[[Sequence[str]], Told]:
    def read(pieces: Sequence[str]) -> Told:
        notes = Notes()
        calls = ToolCalls(notes, pair, TOOLS, seed="seed", policy=ToolPolicy(**policy), parallel=parallel, ask=ask)
        for piece in pieces:
            calls.text(piece)
        calls.finish(Finish(reason))
        told = list(notes.told)
        if isinstance(notes.error, CallInDoubt):
            told[-1] = ("doubt",)
        return told

    return read


read = read_with()


def same_however_cut(text: str, read: Callable[[Sequence[str]], Told]) -> Told:
    """Pairs of cuts are tried on short texts: the tables are long."""
    return same_however_cut_(text, read, pairs=len(text) <= PAIRS_UP_TO)


def call(arguments: str = W, name: str = "go_to") -> tuple[str, str, str]:
    return ("call", name, arguments)


MARKERS = {
    "a colon": f"{S}:\n{BODY}\n{E}",
    "a full stop": f"{S}.\n{BODY}\n{E}.",
    "a dash": f"{S} -\n{BODY}\n{E}",
    "a colon and a space": f"{S}: \n{BODY}\n{E}:\n",
    "backticks": f"`{S}`\n{BODY}\n`{E}`",
    "double backticks": f"``{S}``\n{BODY}\n``{E}``",
    "bold": f"**{S}**\n{BODY}\n**{E}**",
    "bold and italic": f"***{S}***\n{BODY}\n***{E}***",
    "underlined": f"__{S}__\n{BODY}\n__{E}__",
    "a heading": f"### {S}\n{BODY}\n### {E}",
    "a bullet": f"- {S}\n{BODY}\n- {E}",
    "a star bullet": f"* {S}\n* {BODY}\n* {E}",
    "a quote": f"> {S}\n> go_to\n> arguments: {W}\n> {E}",
    "quotation marks": f'"{S}"\n{BODY}\n{E}',
    "escaped underscores": f"FUNCTION\\_CALL\\_START\ngo\\_to\narguments: {W}\nFUNCTION\\_CALL\\_END",
    "lower case": f"function_call_start\n{BODY}\nfunction_call_end",
    "mixed case": f"Function_Call_Start\n{BODY}\nFunction_Call_End",
    "spaces": f"FUNCTION CALL START\n{BODY}\nFUNCTION CALL END",
    "hyphens": f"FUNCTION-CALL-START\n{BODY}\nFUNCTION-CALL-END",
    "no separators": f"FUNCTIONCALLSTART\n{BODY}\nFUNCTIONCALLEND",
    "doubled underscores": f"FUNCTION__CALL__START\n{BODY}\nFUNCTION__CALL__END",
    "HTML's underscores": f"FUNCTION&#95;CALL&#95;START\n{BODY}\nFUNCTION&lowbar;CALL&lowbar;END",
    "angle brackets": f"<{S}>\n{BODY}\n<{E}>",
    "square brackets": f"[{S}]\n{BODY}\n[{E}]",
    "full-width letters": f"{S.translate(WIDE)}\n{BODY}\n{E.translate(WIDE)}",
    "invisible characters": f"\ufeffFUNC\u200bTION_\u2060CALL_START\u200b\n{BODY}\nFUNCTION_CALL\u200d_END",
    "a no-break space before it": f"\u00a0{S}\n{BODY}\n{E}",
    "the name on its line": f"{S} {BODY}\n{E}",
    "the name on its line, with a colon": f"{S}: {BODY}\n{E}",
    "all of it on one line": f"{S} go_to arguments: {W} {E}",
    "glued to the name": f"{S}{BODY}\n{E}",
    "a blank line behind it": f"{S}\n\n\n{BODY}\n\n{E}",
    "the call in a fence inside": f"{S}\n```\n{BODY}\n```\n{E}",
    "JSON in a fence inside": f'{S}\n```json\n{{"name": "go_to", "arguments": {W}}}\n```\n{E}',
    "a fence on its line": f"```{S}\n{BODY}\n{E}\n```",
    "fences on both lines": f"```{S}\n{BODY}\n```{E}",
    "the tag of another format round it": f"<tool_call>\n{S}\n{BODY}\n{E}\n</tool_call>",
    "the end marker dressed otherwise": f"{S}\n{BODY}\n**function call end**",
}
AFTER_PROSE = {
    "on its line": ("Let me check.", f"{S}\n{BODY}\n{E}"),
    "after a space": ("Let me check:", f" {S}\n{BODY}\n{E}"),
    "in backticks": ("Let me check:", f" `{S}`\n{BODY}\n{E}"),
    "with the name": ("Let me check.", f" {S} {BODY}\n{E}"),
    "on the next line, bold": ("Let me check.", f"\n\n**{S}**\n{BODY}\n{E}"),
    "in a list": ("Steps:", f"\n- {S}\n{BODY}\n{E}"),
    "after a code block": ("See:\n```\nx = 1\n```", f"\n\n{S}\n{BODY}\n{E}"),
}
NAMES = {
    "name:": "name: go_to",
    "Name:": "Name: go_to",
    "function:": "function: go_to",
    "tool:": "tool: go_to",
    "tool_name:": "tool_name: go_to",
    "function_name:": "function_name: go_to",
    "function name:": "Function name: go_to",
    "bold label": "**name:** go_to",
    "bold label, colon behind": "**Function**: `go_to`",
    "an equals sign": "name = go_to",
    "<function=": "<function=go_to>",
    "<function=, alone": "<function=go_to",
    '<invoke name="': '<invoke name="go_to">',
    "a colon behind": "go_to:",
    "a full stop behind": "go_to.",
    "backticks": "`go_to`",
    "bold": "**go_to**",
    "quotes": '"go_to"',
    "apostrophes": "'go_to'",
    "quotes and a colon": '"go_to":',
    "a bullet": "- go_to",
    "functions.": "functions.go_to",
    "empty brackets": "go_to()",
    "an escaped underscore": "go\\_to",
    "upper case": "GO_TO",
    "an invisible character": "go_\u200bto",
    "a heading": "## go_to",
}
LABELS = {
    "arguments:": "arguments: ",
    "args:": "args: ",
    "parameters:": "parameters: ",
    "params:": "params: ",
    "input:": "input: ",
    "Arguments:": "Arguments: ",
    "bold": "**arguments:** ",
    "bold, colon behind": "**arguments**: ",
    "quotes": '"arguments": ',
    "backticks": "`arguments`: ",
    "equals": "arguments = ",
    "no colon": "arguments ",
    "JSON said": "arguments (JSON): ",
    "none": "",
    "a bullet": "- arguments: ",
    "next line": "parameters:\n",
    "a fence": "args:\n```json\n",
    "a fence on its line": "arguments: ```json\n",
}
OBJECTS = {
    "name and arguments": f'{{"name": "go_to", "arguments": {W}}}',
    "name and parameters": f'{{"name": "go_to", "parameters": {W}}}',
    "tool and args": f'{{"tool": "go_to", "args": {W}}}',
    "function and input": f'{{"function": "go_to", "input": {W}}}',
    "arguments first": f'{{"arguments": {W}, "name": "go_to"}}',
    "an id and a type": f'{{"id": "call_1", "type": "function", "name": "go_to", "arguments": {W}}}',
    "nested": f'{{"type": "function", "function": {{"name": "go_to", "arguments": {W}}}}}',
    "a list": f'[{{"name": "go_to", "arguments": {W}}}]',
    "tool_calls": f'{{"tool_calls": [{{"name": "go_to", "arguments": {W}}}]}}',
    "pretty-printed": f'{{\n  "name": "go_to",\n  "arguments": {W}\n}}',
    "a missing last brace": f'{{"name": "go_to", "arguments": {W}',
    "another case of the name": f'{{"name": "Go_To", "arguments": {W}}}',
}
ARGUMENTS = {
    "a semicolon": f"{W};",
    "a full stop": f"{W}.",
    "a comment": f"{W} // two days",
    "a hash comment": f"{W}  # two days",
    "a block comment": f"{W} /* two days */",
    "a missing last brace": W[:-1],
    "a missing last brace, on the line": f"{W[:-1]} ",
    "one brace too many": f"{W}}}",
    "bold": f"**{W}**",
    "backticks": f"`{W}`",
}
NOTHING = ['arguments: ""', "arguments: none", "arguments: None.", "arguments: null", "arguments:", "args: {}", "", "arguments: (none)", 'arguments: "none"', "parameters: N/A", "go_to()"]  # fmt: skip
SEVERAL = {
    "two pairs in one block": f'{S}\n{BODY}\nread_file\narguments: {{"path": "/a"}}\n{E}',
    "two pairs, a blank line between": f'{S}\n{BODY}\n\nread_file\n{{"path": "/a"}}\n{E}',
    "two pairs, labelled": f'{S}\nname: go_to\nargs: {W}\nname: read_file\nargs: {{"path": "/a"}}\n{E}',
    "a list of objects": (
        f'{S}\n[{{"name": "go_to", "arguments": {W}}}, {{"name": "read_file", "arguments": {{"path": "/a"}}}}]\n{E}'
    ),
    "an object a line": (
        f'{S}\n{{"name": "go_to", "arguments": {W}}}\n{{"name": "read_file", "arguments": {{"path": "/a"}}}}\n{E}'
    ),
    "two dressed blocks": f'**{S}**\n{BODY}\n**{E}**\n\n**{S}**\nread_file\nargs: {{"path": "/a"}}\n**{E}**',
}


@pytest.mark.parametrize("case", MARKERS)
def test_a_marker_in_any_dress(case: str) -> None:
    assert [call(), ("finish", "tool_calls")] == same_however_cut(MARKERS[case], read)


@pytest.mark.parametrize("case", AFTER_PROSE)
def test_a_marker_after_prose(case: str) -> None:
    prose, block = AFTER_PROSE[case]
    assert [("text", prose), call(), ("finish", "tool_calls")] == same_however_cut(prose + block, read)


@pytest.mark.parametrize("case", NAMES)
def test_names(case: str) -> None:
    text = f"{S}\n{NAMES[case]}\narguments: {W}\n{E}"
    assert [call(), ("finish", "tool_calls")] == same_however_cut(text, read)


@pytest.mark.parametrize("case", LABELS)
def test_labels(case: str) -> None:
    text = f"{S}\ngo_to\n{LABELS[case]}{W}\n{'```' if 'fence' in case else ''}\n{E}"
    assert [call(), ("finish", "tool_calls")] == same_however_cut(text, read)


@pytest.mark.parametrize("text", [f"go_to({W})", f"go_to( {W} )", f"go_to {W}", f"go_to: {W}"])
def test_names_with_arguments_on_their_line(text: str) -> None:
    assert [call(), ("finish", "tool_calls")] == same_however_cut(f"{S}\n{text}\n{E}", read)


@pytest.mark.parametrize("case", OBJECTS)
def test_one_object_is_the_call(case: str) -> None:
    for between in ("\n", " "):
        told = same_however_cut(f"{S}{between}{OBJECTS[case]}\n{E}", read)
        assert [call(), ("finish", "tool_calls")] == told


def test_the_arguments_of_an_object_may_be_a_string() -> None:
    text = f'{S}\n{{"name": "go_to", "arguments": {json.dumps(W)}}}\n{E}'
    assert [call(), ("finish", "tool_calls")] == same_however_cut(text, read)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_slips_round_the_arguments(case: str) -> None:
    (told, end) = same_however_cut(f"{S}\ngo_to\narguments: {ARGUMENTS[case]}\n{E}", read)
    assert ("finish", "tool_calls") == end
    assert json.loads(W) == json.loads(told[2])


@pytest.mark.parametrize("line", NOTHING)
def test_no_arguments_at_all(line: str) -> None:
    text = f"{S}\n{line}\n{E}" if line.startswith("go") else f"{S}\ngo_to\n{line}\n{E}"
    assert [call("{}"), ("finish", "tool_calls")] == same_however_cut(text, read)


@pytest.mark.parametrize("case", SEVERAL)
def test_several_calls(case: str) -> None:
    expected = [call(), call('{"path": "/a"}', "read_file"), ("finish", "tool_calls")]
    assert expected == same_however_cut(SEVERAL[case], read)


PROSE = {
    "the marker in a sentence": f"The marker {S} opens a call.",
    "in backticks": f"The marker `{S}` opens a call, `{E}` closes it.",
    "before the end of a sentence": f"A call is opened by {S}.",
    "at the end, in backticks": f"A call is opened by `{S}`",
    "both markers": f"Between {S} and {E} is the call.",
    "lower case": "A function call starts with its name; the function call start is a marker.",
    "code with such a name": "function callStart() {\n  return 1;\n}",
    "an unknown name on its line": f"{S} of something {{}}",
    "a list of dashes": "- one\n- two\n  - three\n",
    "bold words": "This is **very** important, _really_ > that.",
    "a table": "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "a quote": "> He said\n> nothing\n",
    "HTML": "Use <b>bold</b>, <div class='x'> and <tool>.",
    "less than": "a < b and b <= c <",
    "a link": "[text](https://example.org) and [1] and [",
    "a JSON answer": '{"name": "Rome", "population": 3}',
    "a JSON answer in a fence": '```json\n{"name": "Rome", "arguments": {}}\n```',
    "code in a fence": "```python\ndef go_to(city):\n    return run(city)\n```\n",
    "the name of a tool first": "run the tests first, then read_file.",
    "a tag of another format in prose": "The tag `<tool_call>` is used by go_to elsewhere.",
    "an action": "Action: none taken.\nactions speak.",
    "reasoning tags named": "Use `<think>` and `</think>` for that.",
    "reasoning tags in a fence": "x\n```xml\n<think>\nabc\n</think>\n```\ny",
}


@pytest.mark.parametrize("case", PROSE)
def test_prose(case: str) -> None:
    assert [("text", PROSE[case]), ("finish", "stop")] == same_however_cut(PROSE[case], read)


def test_bare_markers_are_text_where_the_request_has_nonced_ones() -> None:
    text = f"Look:\n{S}\n{BODY}\n{E}\nDone."
    nonced = read_with(MarkerPair(f"{S}_k3f9abcd", f"{E}_k3f9abcd"))
    assert [("text", text), ("finish", "stop")] == same_however_cut(text, nonced)


@pytest.mark.parametrize("case", MARKERS)
def test_nonced_markers_in_any_dress(case: str) -> None:
    text = MARKERS[case]
    for marker in ("START", "END"):
        for old in {word for word in (marker, marker.lower(), marker.title(), marker.translate(WIDE)) if word in text}:
            text = text.replace(old, f"{old}_k3f9abcd")
    nonced = read_with(MarkerPair(f"{S}_k3f9abcd", f"{E}_k3f9abcd"))
    assert [call(), ("finish", "tool_calls")] == same_however_cut(text, nonced)


HELD = {
    "the text ends behind the marker": f"Let me see.\n{S}",
    "the text ends behind the marker's line": f"Let me see.\n{S}\n",
    "the text ends behind a marker on its line": f"Let me see.{S}",
    "the text ends inside the name": f"Let me see.\n{S}\ngo_",
    "the text ends inside the name, on the line": f"Let me see.{S} go_",
    "the text ends behind the name": f"Let me see.{S}\ngo_to",
    "the text ends inside the object": f'Let me see.{S}\n{{"na',
    "apostrophes for quotes": f"Let me see.\n{S}\ngo_to\narguments: {{'a': 'b'}}\n{E}",
    "Python's keywords": f"Let me see.\n{S}\ngo_to(a='b')\n{E}",
    "arguments in lines": f"Let me see.\n{S}\ngo_to\na: b\n{E}",
    "an object without a name": f"Let me see.\n{S}\n{W}\n{E}",
    "an object with two sorts of arguments": (
        f'Let me see.\n{S}\n{{"name": "go_to", "arguments": {{}}, "input": {W}}}\n{E}'
    ),
    "NaN": f'Let me see.\n{S}\ngo_to\narguments: {{"days": NaN}}\n{E}',
    "Infinity": f'Let me see.\n{S}\ngo_to\narguments: {{"days": Infinity}}\n{E}',
    "minus Infinity": f'Let me see.\n{S}\ngo_to\narguments: {{"days": -Infinity}}\n{E}',
    "1e999": f'Let me see.\n{S}\ngo_to\narguments: {{"days": 1e999}}\n{E}',
    "-1e999 in an object": f'Let me see.\n{S}\n{{"name": "go_to", "arguments": {{"days": -1e999}}}}\n{E}',
    "NaN in a string": f'Let me see.\n{S}\ngo_to\narguments: "{{\\"days\\": NaN}}"\n{E}',
    "two braces missing": f'Let me see.\n{S}\ngo_to\narguments: {{"a": {{"b": 1\n{E}',
    "cut off at a comma": f'Let me see.\n{S}\ngo_to\narguments: {{"a": 1,\n{E}',
    "a comment with a quote": f'Let me see.\n{S}\nwrite_file\narguments: {{"content": "see "}} // x"}}\n{E}',
    "a sentence behind the name": f"Let me see.\n{S}\ngo_to\nand then",
}


@pytest.mark.parametrize("case", HELD)
def test_what_cannot_be_read_reaches_nobody(case: str) -> None:
    told = same_however_cut(HELD[case], read)
    assert ("text", "Let me see.") == told[0]
    assert told[1:] in ([("fail", "tool_call_parse_error")], [("doubt",)])
