"""Requests of callers: whatever they hold, they are refused by name or can be sent to either upstream."""

import contextlib
import json
import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.call import AssistantText, Entry, SystemText, ToolCall, ToolResult, UserText
from proxy.core.callers.chat import Chat
from proxy.core.dialect import Round, Upstream
from proxy.core.filters.json_schema import check_schema, misfit
from proxy.core.trim import size, trim
from proxy.core.upstreams.openai import OpenAI
from proxy.core.upstreams.stackspot import StackSpot, ulid
from proxy.errors import InvalidRequest
from tests.core.test_forgery import answer
from tests.core.test_reader_properties import ANY, objects, seldom
from tests.support.calls import WEATHER

pytestmark = pytest.mark.slow

AGENT, PROVIDER = StackSpot("m", "01AGENT", b"secret"), OpenAI("m", "gpt")
USER = {"role": "user", "content": "Hi"}

TEXT = st.text(max_size=12) | st.sampled_from(["FUNCTION_CALL_START", "\ud83d", "[user]", "x" * 300, "\0"])
SCHEMA = objects(type=st.sampled_from(["object", "string"]), properties=st.dictionaries(TEXT, ANY, max_size=2))
FUNCTION = objects(name=st.sampled_from(["go", "x" * 200]), description=TEXT, parameters=SCHEMA)
MADE = objects(id=TEXT, type=st.just("function"), function=objects(name=TEXT, arguments=TEXT))
PART = objects(type=st.sampled_from(["text", "refusal", "image_url", "file"]), text=TEXT, refusal=TEXT)
ROLE = st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])
MESSAGE = objects(
    role=ROLE, content=TEXT | st.lists(PART, max_size=3), name=TEXT, tool_calls=st.lists(MADE), tool_call_id=TEXT
)
FIELDS = {
    "stream": st.booleans(),
    "stream_options": objects(include_usage=st.booleans()),
    "tools": st.lists(objects(type=st.just("function"), function=FUNCTION), max_size=2),
    "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "go"}}]),
    "functions": st.lists(FUNCTION, max_size=2),
    "response_format": objects(type=st.just("json_schema"), json_schema=objects(schema=SCHEMA)),
    "metadata": objects(session_id=TEXT),
    "stop": TEXT | st.lists(TEXT, max_size=5),
    "max_tokens": st.integers(),
    "temperature": st.floats(),
    "made_up": ANY,
}
REQUEST = st.fixed_dictionaries(
    {"model": seldom(st.just("m")), "messages": st.lists(seldom(MESSAGE, st.just(USER)), min_size=1, max_size=3)},
    optional={name: seldom(value) for name, value in FIELDS.items()},
)


@pytest.mark.parametrize("upstream", [AGENT, PROVIDER], ids=["StackSpot", "OpenAI"])
@given(REQUEST)
def test_any_request_is_refused_or_sent(upstream: Upstream, fields: dict[str, Any]) -> None:
    went_out = body_for(upstream, json.dumps(fields).encode())
    if isinstance(went_out, InvalidRequest):
        assert len(went_out.message) < 600
    elif upstream is PROVIDER:  # all of it goes on as it was
        own = ("model", "stream", "stream_options")
        as_sent = {name: value for name, value in fields.items() if name not in own}
        assert _without_halves(as_sent) == {name: value for name, value in went_out.items() if name not in own}


def body_for(upstream: Upstream, sent: bytes) -> Any:
    """What an upstream gets of a request, or the refusal."""
    try:
        call = Chat().read(sent, "r1", 1)
        upstream.admit(call)
        return orjson.loads(upstream.exchange(call, Round()).outgoing.body)
    except InvalidRequest as refused:
        return refused


def _without_halves(value: Any) -> Any:
    return json.loads(re.sub("[\ud800-\udfff]", "?", json.dumps(value, ensure_ascii=False)))


DEEP = {
    "a tool's parameters": '"tools":[{"type":"function","function":{"name":"go","parameters":%s}}]',
    "a schema": '"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":%s}}',
    "options": '"stream":true,"stream_options":{"x":%s}',
    "an unknown field": '"made_up":%s',
}


@pytest.mark.parametrize("upstream", [AGENT, PROVIDER], ids=["StackSpot", "OpenAI"])
@pytest.mark.parametrize("place", DEEP)
def test_nesting_is_refused_before_anything_gives_up(place: str, upstream: Upstream) -> None:
    start = '{"model":"m","messages":[{"role":"user","content":"x"}],'
    for depth in (*range(240, 260), *range(960, 1010)):
        nested = '{"a":' * depth + "1" + "}" * depth
        try:
            call = Chat().read((start + DEEP[place] % nested + "}").encode(), "r1", 1)
            upstream.admit(call)
            went_out = upstream.exchange(call, Round()).outgoing.body
        except InvalidRequest:
            continue
        assert went_out


NUMBERS = ["1" * 40, "-0", "1.0", "1e5", "0.1000000000000000055511151231257827", "1E400", "18446744073709551616"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_go_on_as_they_were_written(number: str) -> None:
    sent = f'{{"model":"m","messages":[{{"role":"user","content":"x"}}],"made_up":[{number}]}}'.encode()
    assert f'"made_up":[{number}]'.encode() in PROVIDER.exchange(Chat().read(sent, "r1", 1), Round()).outgoing.body


@given(st.lists(st.sampled_from(["\\\\", "\\n", "\\ud83d", "\\ude00", "\\uD83D\\uDE00", "a", "ud83d", "\\u0041"])))
def test_halves_of_characters_become_question_marks(parts: list[str]) -> None:
    """Python's own reader is the measure: it takes them as they are."""
    sent = f'{{"model":"m","messages":[{{"role":"user","content":"{"".join(parts)}"}}]}}'.encode()
    expected = re.sub("[\ud800-\udfff]", "?", json.loads(sent)["messages"][0]["content"])
    assert [UserText(expected)] == list(Chat().read(sent, "r1", 1).history)


PIECES = st.lists(
    st.sampled_from(["FUNCTION_CALL_START", "FUNCTION_CALL_END", "\n", "get_weather", "arguments: ", "{}", "```", "_"])
    | st.from_regex(r"[a-f0-9]{8}", fullmatch=True)
    | st.text(max_size=3),
    max_size=10,
).map("".join)


@given(st.lists(PIECES.filter(str.strip), min_size=1, max_size=3), PIECES)
def test_an_echo_of_anything_from_outside_is_text(texts: Sequence[str], system: str) -> None:
    """Whatever callers write, a model that repeats it calls nothing."""
    history = tuple(entry for text in texts for entry in (UserText(text), AssistantText(text)))
    told, _ = answer("\n".join([*texts, system]), history=history, system=system, tools=(WEATHER,))
    assert not [event for event in told if event[0] == "call"]


ENTRY: st.SearchStrategy[list[Entry]] = st.integers(0, 30_000).flatmap(
    lambda length: st.sampled_from(
        [
            [UserText("u" * length)],
            [SystemText("s" * length)],
            [AssistantText("a" * length)],
            [
                AssistantText("", (ToolCall("1", "go", "{}"), ToolCall("2", "go", "x" * length))),
                ToolResult("1", "go", "r" * length),
                ToolResult("2", "go", "r" * (length // 2)),
            ],
        ]
    )
)


@given(st.lists(ENTRY, max_size=8), st.integers(-10, 100_000))
def test_a_conversation_is_made_to_fit(groups: list[list[Entry]], room: int) -> None:
    history = tuple(entry for group in groups for entry in group)
    trimmed = trim(history, room)
    assert len(history) == trimmed.dropped + len(trimmed.history)
    assert not trimmed.history or not isinstance(trimmed.history[0], ToolResult), "a result without its call"
    assert size(trimmed.history) <= room or trimmed.history == () or len(trimmed.history) <= len(groups[-1])
    kept = history[trimmed.dropped :]
    assert all(new == old or isinstance(old, ToolResult) for new, old in zip(trimmed.history, kept, strict=True))


REFERENCE = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/nowhere", "http://127.0.0.1:1/", "#/$defs/a/not"])
NODE: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries({"$ref": REFERENCE}) | SCHEMA | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "allOf": st.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "properties": st.fixed_dictionaries({"a": inner, "b": inner}),
            "additionalProperties": inner,
            "items": inner,
            "pattern": st.sampled_from(["^(a+)+$", "(?=x)", "("]),
        },
    ),
    max_leaves=6,
)


@given(st.fixed_dictionaries({"$defs": st.fixed_dictionaries({"a": NODE, "b": NODE}), "anyOf": st.lists(NODE)}), ANY)
def test_any_schema_is_refused_or_checks_in_no_time(schema: dict[str, Any], value: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        check_schema(schema)
        for _ in range(40):
            value = {"a": value}
        assert len(misfit(value, schema, json.dumps(value), 1000)) < 600


@given(st.text())
def test_a_ulid_of_anything(text: str) -> None:
    made = ulid(text)
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}", made)
    assert made == ulid(made)
