"""The body of a chat completion request: what it means, and what is wrong with it."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.call import AssistantText, JsonFormat, SystemText, ToolCall, ToolChoice, ToolResult, UserText
from proxy.core.callers.chat_limits import FIELDS, MESSAGES, PARTS, TOOLS
from proxy.core.callers.chat_request import SCHEMA_BYTES, SMALL_FIELD, TOOL_VALUES, ChatCall, read
from proxy.errors import InvalidRequest

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}


def parse(**fields: Any) -> ChatCall:
    return read(json.dumps({"model": "m", "messages": [USER]} | fields).encode(), "id", 1)


def nested(depth: int) -> dict[str, Any]:
    return {"properties": nested(depth - 1)} if depth else {}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "model"),
    "an empty model": ({"model": ""}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "messages that are no list": ({"messages": "Hi"}, "messages"),
    "a message without a role": ({"messages": [{"content": "x"}]}, "messages[0].role"),
    "an unknown role": ({"messages": [USER, {"role": "bot", "content": "x"}]}, "messages[1].role"),
    "content of a wrong type": ({"messages": [USER, USER, {"role": "user", "content": 7}]}, "messages[2].content"),
    "a user message without content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "a text part without text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    "a tool message without an id": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    "a call without a name": (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]}]},
        "messages[0].tool_calls[0].function.name",
    ),
    "stream of a wrong type": ({"stream": "yes"}, "stream"),
    "stream options": ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    "temperature out of range": ({"temperature": 2.1}, "temperature"),
    "top_p out of range": ({"top_p": -0.1}, "top_p"),
    "n": ({"n": 0}, "n"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens"),
    "a format": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "a format without its schema": ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    "a function's name": ({"functions": [{"name": ""}]}, "functions[0].name"),
    "a choice of an unknown function": (
        {"functions": [{"name": "go"}], "function_call": {"name": "x"}},
        "function_call",
    ),
    "a stop that is too long": ({"stop": "x" * 1025}, "stop"),
    "a model's name that is too long": ({"model": "x" * 257}, "model"),
    "parameters that are too deep": (
        {"tools": [{"type": "function", "function": {"name": "go", "parameters": nested(400)}}]},
        "tools[0].function.parameters",
    ),
    "a number that is too large": (
        {"tools": [{"type": "function", "function": {"name": "go", "parameters": {"maximum": 10**23}}}]},
        "tools[0].function.parameters",
    ),
    "five stops": ({"stop": list("abcde")}, "stop"),
    "an unknown kind of tool": ({"tools": [{"type": "custom"}]}, "tools[0].type"),
    "a tool without a function": ({"tools": [TOOL, {"type": "function"}]}, "tools[1].function"),
    "a tool's name": ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
    "a tool choice": ({"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice"),
    "a choice among no tools": ({"tool_choice": "required"}, "tool_choice"),
    "a choice of an unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "nope"}}},
        "tool_choice",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_fields_are_named(case: str) -> None:
    fields, param = WRONG[case]
    with pytest.raises(InvalidRequest) as refused:
        parse(**fields)
    assert param == refused.value.param
    assert refused.value.message.startswith(param)


def many(item: str, count: int) -> list[Any]:
    return [json.loads(item)] * count


CALL = '{"id": "1", "function": {"name": "a"}}'
PART = '{"type": "text", "text": "a"}'
VALUES = {"x": many("{}", TOOL_VALUES)}
TOO_MANY: dict[str, tuple[dict[str, Any], str]] = {
    "messages": ({"messages": many('{"role": "user", "content": "a"}', MESSAGES + 1)}, "messages"),
    "parts of one message": ({"messages": [{"role": "user", "content": many(PART, PARTS + 1)}]}, "messages[0].content"),
    "parts of all messages": (
        {"messages": many(json.dumps({"role": "user", "content": many(PART, 1000)}), 33)},
        "messages[32].content",
    ),
    "calls of all messages": (
        {"messages": many(json.dumps({"role": "assistant", "tool_calls": many(CALL, 1000)}), 33)},
        "messages[32].tool_calls",
    ),
    "tools": ({"tools": many('{"type": "function", "function": {"name": "a"}}', TOOLS + 1)}, "tools"),
    "functions": ({"functions": many('{"name": "a"}', TOOLS + 1)}, "functions"),
    "values in parameters": (
        {"tools": [TOOL, {"type": "function", "function": {"name": "b", "parameters": VALUES}}]},
        "tools[1].function.parameters",
    ),
    "values in a function's parameters": ({"functions": [{"name": "b", "parameters": VALUES}]}, "functions[0].parameters"),
    "stops": ({"stop": ["a"] * SMALL_FIELD}, "stop"),
    "tools to choose from": ({"tools": [TOOL], "tool_choice": {"x": ["a"] * SMALL_FIELD}}, "tool_choice"),
    "a large schema": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["a" * SCHEMA_BYTES]}}}},
        "response_format.json_schema.schema",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_MANY)
def test_too_many_are_named_with_the_limit(case: str) -> None:
    fields, param = TOO_MANY[case]
    with pytest.raises(InvalidRequest, match=r"[1-9][0-9]{3,}") as refused:
        parse(**fields)
    assert param == refused.value.param
    assert refused.value.message.startswith(param)


def test_too_many_fields_of_the_request() -> None:
    with pytest.raises(InvalidRequest, match=str(FIELDS)):
        parse(**{f"made_up_{number}": 1 for number in range(FIELDS + 1)})


def test_what_agents_send_is_within_the_limits() -> None:
    tools = [
        {"type": "function", "function": {"name": f"f{number}", "parameters": {"properties": {f"p{at}": {"type": "string"} for at in range(20)}}}}
        for number in range(300)
    ]  # fmt: skip
    call = parse(
        messages=[{"role": "user", "content": [{"type": "text", "text": "x, {y}: " * 100}]}] * 3000, tools=tools
    )
    assert (3000, 300) == (len(call.history), len(call.tools))


UNREAD = ("metadata", "logit_bias", "prediction", "audio", "web_search_options", "modalities")


@pytest.mark.parametrize("name", UNREAD)
def test_only_the_kind_is_looked_at_of_what_is_not_read(name: str) -> None:
    wide: Any = [{}] * 1000 if name == "modalities" else {"x": [{}] * 1000}
    assert (name,) == parse(**{name: wide}).unsupported
    assert () == parse(**{name: type(wide)()}).unsupported
    for wrong in ("x", 7, [] if isinstance(wide, dict) else {}):
        with pytest.raises(InvalidRequest) as refused:
            parse(**{name: wrong})
        assert name == refused.value.param


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nope", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(body, "id", 1)


def test_conversation() -> None:
    call = parse(
        messages=[
            {"role": "system", "content": "A"},
            {"role": "developer", "content": [{"type": "text", "text": "B"}]},
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}], "name": "Ana"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "go", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"},
            {"role": "tool", "tool_call_id": "gone", "content": "an old one"},
            {"role": "system", "content": "C"},
            {"role": "assistant", "content": "ok"},
        ]
    )  # fmt: skip
    assert "A\n\nB" == call.system
    assert (
        UserText("x\ny", "Ana"),
        AssistantText("", (ToolCall("1", "go", "{}"),)),
        ToolResult("1", "go", "done"),
        ToolResult("gone", "unknown", "an old one"),
        SystemText("C"),
        AssistantText("ok"),
    ) == call.history


def test_defaults() -> None:
    call = parse()
    assert (False, False, (), ToolChoice(), True, ()) == (
        call.stream, call.include_usage, call.tools, call.choice, call.parallel_calls, call.unsupported,
    )  # fmt: skip


def test_null_means_absent_and_unknown_keys_pass() -> None:
    sent = parse(temperature=None, tools=None, stream=None, stop=None, made_up={"x": 1})
    assert parse() == replace(sent, body=parse().body)


def test_usage_is_only_for_streams() -> None:
    assert parse(stream=True, stream_options={"include_usage": True}).include_usage
    assert not parse(stream_options={"include_usage": True}).include_usage


def test_parameters_that_text_upstreams_cannot_honour_are_listed() -> None:
    call = parse(temperature=0, top_p=1, seed=7, user="u", metadata={"session_id": "s"}, store=False, logprobs=True)
    assert {"temperature", "top_p", "seed", "user", "metadata", "logprobs"} == set(call.unsupported)


@pytest.mark.parametrize(
    ("fields", "session"),
    [
        ({"metadata": {"session_id": "s"}, "user": "u"}, "s"),
        ({"session_id": "s", "user": "u"}, "s"),
        ({"user": "u"}, None),
        ({}, None),
        ({"metadata": {"session_id": 7}}, None),
    ],
)
def test_session(fields: dict[str, Any], session: str | None) -> None:
    assert session == parse(**fields).session


def test_media_become_a_placeholder_and_are_listed() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:..."}}
    call = parse(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, image]}])
    assert ("image_url",) == call.unsupported
    assert isinstance(call.history[0], UserText)
    assert call.history[0].text.startswith("see\n[image_url")


def test_half_an_emoji_is_survived() -> None:
    body = rb'{"model":"m","messages":[{"role":"user","content":"cut \ud83d"}]}'
    assert (UserText("cut ?"),) == read(body, "id", 1).history


HALVES = {
    "metadata": rb'"metadata":{"session_id":"cut \ud83d"}',
    "stop": rb'"stop":"cut \ud83d"',
    "parameters": rb'"tools":[{"type":"function","function":{"name":"go","parameters":{"title":"cut \ud83d"}}}]',
    "a schema": rb'"response_format":{"type":"json_schema","json_schema":{"schema":{"title":"cut \ud83d"}}}',
}


@pytest.mark.parametrize("case", HALVES)
def test_half_an_emoji_is_survived_in_what_is_read_on_its_own(case: str) -> None:
    call = read(b'{"model":"m","messages":[{"role":"user","content":"Hi"}],' + HALVES[case] + b"}", "id", 1)
    assert "cut ?" in repr((call.session, call.stop, call.tools, call.format))


CHOICES: list[tuple[Any, ToolChoice]] = [
    ("none", ToolChoice("none")),
    ("auto", ToolChoice("auto")),
    ("required", ToolChoice("required")),
    ({"type": "function", "function": {"name": "go"}}, ToolChoice("required", ("go",))),
    ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, ToolChoice("none")),
    (
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "name": "go"}]}},
        ToolChoice("auto", ("go",)),
    ),
]


@pytest.mark.parametrize(("sent", "choice"), CHOICES)
def test_tool_choice(sent: Any, choice: ToolChoice) -> None:
    assert choice == parse(tools=[TOOL], tool_choice=sent).choice


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InvalidRequest):  # whatever else comes is the failure
        read(body, "id", 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["messages", "tools", "tool_choice", "stop", "metadata", "stream_options"]), JSON)
)
def test_any_values_are_read_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):  # whatever else comes is the failure
        parse(**fields)


def test_stops() -> None:
    assert [("a",), ("a", "b"), ()] == [parse(stop=stop).stop for stop in ("a", ["a", "b"], None)]


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonFormat()),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            JsonFormat({"type": "object"}),
        ),
    ],
)
def test_formats(sent: dict[str, Any], wanted: JsonFormat | None) -> None:
    call = parse(response_format=sent)
    assert wanted == call.format
    assert () == call.unsupported


def test_the_form_before_tools() -> None:
    call = parse(functions=[{"name": "go"}], function_call={"name": "go"})
    assert (("go",), ToolChoice("required", ("go",)), False, True) == (
        tuple(tool.name for tool in call.tools), call.choice, call.parallel_calls, call.legacy_functions,
    )  # fmt: skip


def test_max_tokens() -> None:
    call = parse(max_tokens=5)
    assert (5, ("max_tokens",)) == (call.max_tokens, call.unsupported)
