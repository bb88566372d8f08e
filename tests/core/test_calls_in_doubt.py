"""Calls that are not run at once: in another format, in a fence before a question, between reasoning tags."""

# ruff: noqa: RUF001  (DeepSeek writes full-width bars)
import pytest

from proxy.core.answer import Finish
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.tool_calls.markers import MarkerPair
from proxy.errors import CallInDoubt, LaterCall, ToolCallUnreadable
from tests.core.test_tool_call_dress import BODY, TOOLS, E, S, W, call, read, read_with, same_however_cut
from tests.support.answers import Notes, Told

DOUBT = ("doubt",)
BLOCK = f"{S}\n{BODY}\n{E}"
RUN = f'{S}\nrun\narguments: {{"command": "rm"}}\n{E}'
FINISHED = ("finish", "tool_calls")

FORMATS = {
    "Hermes": '<tool_call>\n{"name": "go_to", "arguments": {"a": "b"}}\n</tool_call>',
    "Hermes, arguments first": '<tool_call>{"arguments": {"a": "b"}, "name": "go_to"}</tool_call>',
    "Hermes, cut off": '<tool_call>\n{"name": "go_to", "arguments": {"a',
    "Qwen's XML": "<tool_call>\n<function=go_to>\n<parameter=a>\nb\n</parameter>\n</function>\n</tool_call>",
    "Llama's function tag": '<function=go_to>{"a": "b"}</function>',
    "Llama's python tag": '<|python_tag|>{"name": "go_to", "parameters": {"a": "b"}}',
    "Llama's python tag with code": '<|python_tag|>go_to.call(a="b")',
    "Mistral": '[TOOL_CALLS] [{"name": "go_to", "arguments": {"a": "b"}}]',
    "Mistral, compact": '[TOOL_CALLS]go_to[ARGS]{"a": "b"}',
    "Claude": '<function_calls>\n<invoke name="go_to">\n<parameter name="a">b</parameter>\n</invoke>\n</function_calls>',
    "Claude, alone": '<invoke name="go_to"><parameter name="a">b</parameter></invoke>',
    "Claude's namespace": '<function_calls><invoke name="go_to"></invoke>',
    "tool_use with an id": '<tool_use id="toolu_01A"><name>go_to</name></tool_use>',
    "DeepSeek V3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>go_to\n```json\n{}\n```",
    "DeepSeek V3.1": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>go_to<｜tool▁sep｜>{"a": "b"}<｜tool▁call▁end｜>',
    "DeepSeek V3.2": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="go_to">\n</｜DSML｜invoke>',
    "Kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.go_to:0<|tool_call_argument_begin|>{}",
    "GLM": "<tool_call>go_to\n<arg_key>a</arg_key>\n<arg_value>b</arg_value>\n</tool_call>",
    "Gemma": '<|tool_call>call:go_to{a:<|"|>b<|"|>}<tool_call|>',
    "gpt-oss": '<|channel|>commentary to=functions.go_to <|constrain|>json<|message|>{"a": "b"}',
    "the tool as a tag": "<go_to>\n<a>b</a>\n</go_to>",
    "ReAct": 'Action: go_to\nAction Input: {"a": "b"}',
    "tool_code": '```tool_code\nprint(go_to(a="b"))\n```',
    "tool_call in a fence": '```tool_call\n{"name": "go_to", "arguments": {}}\n```',
    "bare JSON": '{"name": "go_to", "arguments": {"a": "b"}}',
    "bare JSON, parameters": '{"name": "go_to", "parameters": {"a": "b"}}',
    "OpenAI's JSON": '{"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "go_to", "arguments": "{}"}}]}',
    "a list of calls": '[{"name": "go_to", "arguments": {"a": "b"}}]',
}
WHOLE_FORMATS = {
    "JSON in a fence": '```json\n{"name": "go_to", "arguments": {"a": "b"}}\n```',
    "JSON in a fence, tool": '```\n{"tool": "go_to", "parameters": {"a": "b"}}\n```\n',
    "a list in a fence": '```json\n[{"name": "go_to", "arguments": {}}]\n```',
    "a fence that is not closed": '```json\n{"name": "go_to", "arguments": {"a": "b"}}',
    "Hermes in a fence": '```xml\n<tool_call>{"name": "go_to", "arguments": {}}</tool_call>\n```',
    "code": 'go_to(a="b")',
    "a list of code": '[go_to(a="b"), run(command="ls")]',
    "code in a fence": '```python\ngo_to(a="b")\n```',
    "a block without its marker": f'go_to\narguments: {{"a": "b"}}\n{E}',
    "the name and its object": 'go_to {"a": "b"}',
}


@pytest.mark.parametrize("case", FORMATS)
def test_another_format_is_asked_about(case: str) -> None:
    assert [("text", "Well."), DOUBT] == same_however_cut("Well.\n" + FORMATS[case], read)
    assert [DOUBT] == same_however_cut("\n" + FORMATS[case], read)


@pytest.mark.parametrize("case", WHOLE_FORMATS)
def test_another_format_as_the_whole_answer_is_asked_about(case: str) -> None:
    assert [DOUBT] == same_however_cut(WHOLE_FORMATS[case], read)


@pytest.mark.parametrize("case", [*FORMATS, *WHOLE_FORMATS])
def test_another_format_is_text_where_nothing_may_be_asked(case: str) -> None:
    text = (FORMATS | WHOLE_FORMATS)[case]
    assert [("text", text), ("finish", "stop")] == same_however_cut(text, read_with(ask=False))


@pytest.mark.parametrize("case", [*FORMATS, *WHOLE_FORMATS])
def test_another_format_that_names_no_offered_tool_is_text(case: str) -> None:
    text = (FORMATS | WHOLE_FORMATS)[case].replace("go_to", "elsewhere").replace("run(", "jump(")
    assert [("text", text), ("finish", "stop")] == same_however_cut(text, read)


EXAMPLES = {
    "JSON in a fence, then words": '```json\n{"name": "go_to", "arguments": {}}\n```\nThat is how it looks.',
    "JSON in a fence after words": 'A call is:\n```json\n{"name": "go_to", "arguments": {}}\n```\n',
    "code, then words": "run(command) runs a command.",
    "a tag in a fence after words": "Write:\n```xml\n<tool_call>\ngo_to\n</tool_call>\n```\nDone.",
    "a tag in backticks": "Write `<tool_call>go_to</tool_call>` for that.",
    "JSON that describes": '{"name": "go_to", "description": "goes"}',
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples_are_text(case: str) -> None:
    assert [("text", EXAMPLES[case]), ("finish", "stop")] == same_however_cut(EXAMPLES[case], read)


def test_a_call_cut_off_by_the_length_is_neither() -> None:
    cut_off = read_with(reason="length")
    assert [("text", "Well."), ("finish", "length")] == same_however_cut("Well.\n" + FORMATS["Hermes"], cut_off)


def test_a_call_before_another_format_goes_out() -> None:
    assert [call(), DOUBT] == same_however_cut(f"{BLOCK}\n<tool_call>run\n</tool_call>", read)


FENCED = f"```\n{RUN}\n```\n"
RUNS = call('{"command": "rm"}', "run")


def test_a_fenced_block_before_a_question_is_asked_about() -> None:
    assert [("text", "Well."), DOUBT] == same_however_cut(f"Well.\n{FENCED}Shall I?", read)
    assert [DOUBT] == same_however_cut(f"{FENCED}It removes all.\n\nDevo executar?\n", read)


def test_a_fenced_block_before_a_statement_is_a_call() -> None:
    assert [RUNS, FINISHED] == same_however_cut(f"{FENCED}I run it.", read)
    assert [RUNS, FINISHED] == same_however_cut(f"{FENCED}I run it.", read_with(stream_arguments=True))


def test_a_fenced_block_is_not_streamed_before_its_question() -> None:
    assert [DOUBT] == same_however_cut(f"{FENCED}Shall I?", read_with(stream_arguments=True))


def test_a_fenced_block_is_a_call_where_nothing_may_be_asked() -> None:
    assert [RUNS, FINISHED] == same_however_cut(f"{FENCED}Shall I?", read_with(ask=False))


def test_fenced_blocks_come_in_order_with_the_text_between() -> None:
    told = same_however_cut(f"a\n{FENCED}b\n{BLOCK}\nc", read_with(keep_text=True))
    assert [("text", "a"), RUNS, ("text", "b"), call(), ("text", "\nc"), FINISHED] == told


def test_a_fenced_block_is_the_only_call_where_calls_are_not_parallel() -> None:
    assert [RUNS, FINISHED] == same_however_cut(f"{FENCED}{BLOCK}", read_with(parallel=False))


TAGS = ["think", "thinking", "reasoning", "THINK", "thought", 'think type="x"']


@pytest.mark.parametrize("tag", TAGS)
def test_calls_in_reasoning_are_no_calls(tag: str) -> None:
    text = f"<{tag}>\nHm. {RUN}\nToo dangerous.\n</{tag.split()[0]}>\n\nI will not."
    assert [("text", "I will not."), ("finish", "stop")] == same_however_cut(text, read)
    shown = [("reasoning", f"\nHm. {RUN}\nToo dangerous.\n"), ("text", "I will not."), ("finish", "stop")]
    assert shown == same_however_cut(text, read_with(show_reasoning=True))


REASONING: dict[str, tuple[str, Told]] = {
    "a call after it": (f"<think>Go.</think>\n{BLOCK}", [call(), FINISHED]),
    "not closed": (f"<think>Go. {RUN}", [("finish", "stop")]),
    "half a closing tag at the end": (f"<think>Go. {RUN}</thi", [("finish", "stop")]),
    "nested": (f"<think>a<think>b</think>{RUN}</think>No.", [("text", "No."), ("finish", "stop")]),
    "nested otherwise": (f"<think>a<reasoning>b</reasoning>{RUN}</think>No.", [("text", "No."), ("finish", "stop")]),
    "Mistral's": (f"[THINK]a {RUN}[/THINK]No.", [("text", "No."), ("finish", "stop")]),
    "twice": (f"<think>a</think>x<think>{RUN}</think>y", [("text", "xy"), ("finish", "stop")]),
    "after words": (f"Sure. <think>{RUN}</think>No.", [("text", "Sure. No."), ("finish", "stop")]),
    "another format in it": (f"<think>{FORMATS['Hermes']}</think>No.", [("text", "No."), ("finish", "stop")]),
    "another format after it": (f"<think>a</think>\n{FORMATS['Hermes']}", [DOUBT]),
    "whole JSON after it": (f"<think>a</think>\n\n{WHOLE_FORMATS['JSON in a fence']}", [DOUBT]),
    "empty": ("<think></think>No.", [("text", "No."), ("finish", "stop")]),
    "closed at once": ("<think/>No.", [("text", "<think/>No."), ("finish", "stop")]),
    "a marker before it": (f"{BLOCK}\n<think>{RUN}</think>", [call(), FINISHED]),
}


@pytest.mark.parametrize("case", REASONING)
def test_reasoning(case: str) -> None:
    text, expected = REASONING[case]
    assert expected == same_however_cut(text, read)


BROKEN = f"{S}\nread_file\nargs: {{'path': 'a'}}\n{E}"


def test_a_broken_block_after_a_good_one_is_not_dropped() -> None:
    for broken in (
        BROKEN,
        f"{S}\nread_file\nsome words\n{E}",
        f"{S} read_f",
        f'{S}\n{{"name": "read_file", "x": 1}}\n{E}',
    ):
        assert [call(), ("fail", "tool_call_parse_error")] == same_however_cut(f"{BLOCK}\n{broken}", read)


def failed(text: str, *, parallel: bool = True) -> ToolCallUnreadable:
    notes = Notes()
    calls = ToolCalls(notes, MarkerPair(S, E), TOOLS, seed="s", policy=ToolPolicy(), parallel=parallel)
    calls.text(text)
    calls.finish(Finish("stop"))
    assert isinstance(notes.error, ToolCallUnreadable)
    return notes.error


def test_a_good_block_after_a_broken_one_waits_for_its_repair() -> None:
    error = failed(f"{BROKEN}\n{BLOCK}\nand\n{RUN}")
    assert [("go_to", W), ("run", '{"command": "rm"}')] == [(later.name, later.arguments) for later in error.later]
    assert BROKEN == error.written, "only what cannot be read is shown"
    assert all(isinstance(later, LaterCall) and later.id.startswith("call_") for later in error.later)


def test_what_follows_a_broken_block_without_an_end_is_shown_with_it() -> None:
    error = failed(BROKEN.removesuffix(E) + BLOCK)
    assert not error.later or "go_to" not in error.written
    assert "read_file" in error.written


def test_a_sentence_about_calls_may_be_answered_in_words() -> None:
    assert isinstance(failed(f"{S}\nrun\nis how a command is run."), CallInDoubt)
    assert not isinstance(failed(f"{S}\nrun\nthe command ls\n{E}"), CallInDoubt)


def test_nothing_follows_a_broken_block_where_calls_are_not_parallel() -> None:
    assert () == failed(f"{BROKEN}\n{BLOCK}", parallel=False).later


def test_what_is_shown_is_bounded() -> None:
    error = failed(f"{S}\nrun\narguments: {{'a': '{'x' * 100_000}")
    assert 8192 >= len(error.written)
