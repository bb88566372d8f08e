"""The other filters: stop sequences, length, a required call, JSON answers."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Answer, Finish, FinishReason
from proxy.core.call import JsonFormat
from proxy.core.filters.json_answer import JsonAnswer
from proxy.core.filters.json_schema import check_schema
from proxy.core.filters.length import Length
from proxy.core.filters.required import RequiredCall
from proxy.core.filters.stop import Stop
from proxy.errors import InvalidAnswer, InvalidRequest, UpstreamTruncated
from tests.support.answers import Notes, Told
from tests.support.cuts import same_however_cut

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def through(make: Callable[[Answer], Answer], reason: FinishReason = "stop") -> Callable[[Sequence[str]], Told]:
    """Reads a text through a filter."""

    def read(pieces: Sequence[str]) -> Told:
        notes = Notes()
        filter_ = make(notes)
        for piece in pieces:
            filter_.text(piece)
        filter_.finish(Finish(reason))
        return notes.told

    return read


STOPS: dict[str, tuple[str, list[str], Told]] = {
    "no hit": ("hello", ["X"], [("text", "hello")]),
    "a hit": ("helloXmore", ["X"], [("text", "hello")]),
    "at the start": ("Xmore", ["X"], []),
    "the first of several": ("a END b STOP", ["STOP", "END"], [("text", "a ")]),
    "two that begin alike": ("a<|end|>", ["<|endoftext|>", "<|end|>"], [("text", "a")]),
    "one inside another": ("aXYZ", ["XYZ", "Y"], [("text", "aX")]),
    "half a sequence at the end is text": ("a<|en", ["<|end|>"], [("text", "a<|en")]),
    "a false start": ("a<|<|end|>", ["<|end|>"], [("text", "a<|")]),
    "an overlapping start": ("aab", ["ab"], [("text", "a")]),
    "an empty sequence asks for nothing": ("abc", [""], [("text", "abc")]),
    "a line break": ("one\ntwo", ["\n"], [("text", "one")]),
}


@pytest.mark.parametrize("case", STOPS)
def test_stop(case: str) -> None:
    text, sequences, expected = STOPS[case]
    assert [*expected, ("finish", "stop")] == same_however_cut(text, through(lambda sink: Stop(sink, sequences)))


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_stop_is_what_a_search_would_find(text: str, sequences: list[str]) -> None:
    hits = [(at + len(sequence), at) for sequence in sequences if (at := text.find(sequence)) >= 0]
    expected = text[: min(hits)[1]] if hits else text
    told = through(lambda sink: Stop(sink, sequences))(list(text))
    assert [*([("text", expected)] if expected else []), ("finish", "stop")] == told


def test_stop_lets_calls_pass() -> None:
    notes = Notes()
    stop = Stop(notes, ["X"])
    stop.text("a")
    stop.call("1", "go")
    stop.arguments('{"a": "X"}')
    stop.finish(Finish("tool_calls"))
    assert [("text", "a"), ("call", "go", '{"a": "X"}'), ("finish", "tool_calls")] == notes.told


@pytest.mark.parametrize(
    "make", [lambda sink: Stop(sink, ["STOP"]), lambda sink: Length(sink, 99)], ids=["stop", "length"]
)
def test_a_failure_comes_behind_what_was_held(make: Callable[[Answer], Answer]) -> None:
    notes = Notes()
    filter_ = make(notes)
    filter_.text("a ST")
    filter_.fail(UpstreamTruncated("cut"))
    assert [("text", "a ST"), ("fail", "upstream_truncated")] == notes.told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12345678", [("text", "12345678"), ("finish", "stop")]),
        ("123456789", [("text", "12345678"), ("finish", "length")]),
    ],
)
def test_length(text: str, expected: Told) -> None:
    assert expected == same_however_cut(text, through(lambda sink: Length(sink, 2)))


def test_length_never_cuts_a_call() -> None:
    notes = Notes()
    length = Length(notes, 1)
    length.call("1", "go")
    length.arguments('{"a": "much more than that"}')
    length.text("x")
    assert [("call", "go", '{"a": "much more than that"}'), ("finish", "length")] == notes.told


def required(notes: Notes, *names: str) -> RequiredCall:
    return RequiredCall(notes, names or ("go",))


def test_a_required_call_comes_without_text() -> None:
    notes = Notes()
    answer = required(notes)
    answer.text("Let me see.")
    answer.call("1", "go")
    answer.arguments("{}")
    answer.text("Done.")
    answer.finish(Finish("tool_calls"))
    assert [("call", "go", "{}"), ("finish", "tool_calls")] == notes.told


@pytest.mark.parametrize("called", [None, "other"])
def test_a_required_call_that_does_not_come(called: str | None) -> None:
    notes = Notes()
    answer = required(notes, "go")
    answer.text("I would rather talk.")
    if called:
        answer.call("1", called)
        answer.arguments("{}")
    answer.finish(Finish("stop"))
    assert [("fail", "tool_choice_not_met")] == notes.told
    assert isinstance(notes.error, InvalidAnswer)
    assert "I would rather talk." == notes.error.written


JSONS: dict[str, tuple[str, JsonFormat, str | None]] = {
    "an object": ('{"a": 1}', JsonFormat(), '{"a": 1}'),
    "in a fence": ('```json\n{"a": 1}\n```', JsonFormat(), '{"a": 1}'),
    "white space round it": ('\n {"a": 1} \n', JsonFormat(), '{"a": 1}'),
    "a fence inside": ('{"a": "```\\n"}', JsonFormat(), '{"a": "```\\n"}'),
    "prose": ("Sure! Here it is.", JsonFormat(), None),
    "words before it": ('Sure: {"a": 1}', JsonFormat(), '{"a": 1}'),
    "words around it": ('Here it is:\n\n{"a": {"b": [1]}}\n\nAnything else?', JsonFormat(), '{"a": {"b": [1]}}'),
    "words around a fence": ('Sure:\n```json\n{"a": 1}\n```\nDone.', JsonFormat(), '{"a": 1}'),
    "a fence on one line": ('```json{"a": 1}```', JsonFormat(), '{"a": 1}'),
    "a fence on one line, spaced": ('```json {"a": 1} ```', JsonFormat(), '{"a": 1}'),
    "a fence without a language": ('```{"a": 1}```', JsonFormat(), '{"a": 1}'),
    "brackets among the words": ('See [note]: {"a": 1} [1]', JsonFormat(), '{"a": 1}'),
    "the one that fits": ('Not {"x": 1} but {"city": "Rome"}.', JsonFormat(CITY), '{"city": "Rome"}'),
    "two objects": ('{"a": 1} or {"a": 2}', JsonFormat(), None),
    "an object inside a broken one": ('{"a": "the "old" one", "b": {"c": 1}}', JsonFormat(), None),
    "an object inside a broken list": ('[{"a": 1}, {"b": ', JsonFormat(), None),
    "an object behind its key": ('"result": {"a": 1}', JsonFormat(), None),
    "a list that was not asked for": ("It is [1, 2].", JsonFormat(), None),
    "a list that was": ("It is [1, 2].", JsonFormat({"type": "array"}), "[1, 2]"),
    "an array": ("[1]", JsonFormat(), None),
    "an array that fits its schema": ("[1]", JsonFormat({"type": "array"}), "[1]"),
    "empty": ("", JsonFormat(), None),
    "NaN": ('{"a": NaN}', JsonFormat(), None),
    "fits": ('{"city": "Rome"}', JsonFormat(CITY), '{"city": "Rome"}'),
    "a wrong type": ('{"city": 7}', JsonFormat(CITY), None),
    "a missing key": ("{}", JsonFormat(CITY), None),
    "deep": ("[" * 100_000, JsonFormat({"type": "array"}), None),
    "a pattern that backtracks": ('"' + "a" * 60 + '!"', JsonFormat({"pattern": "^(a+)+$"}), None),
    "unique items, many": ("[" + "{}," * 3000 + "1]", JsonFormat({"uniqueItems": True}), None),
    "a number of 400 digits": ("1" * 400, JsonFormat({"multipleOf": 0.5}), "1" * 400),
    "white space without end": ("```json\n{\n" + " " * 100_000, JsonFormat(), None),
    "brackets without end": ("x " + "{" * 100_000, JsonFormat(), None),
    "backticks without end": ("`" * 100_000, JsonFormat(), None),
}


@pytest.mark.parametrize("case", JSONS)
def test_json(case: str) -> None:
    text, wanted, expected = JSONS[case]
    told = through(lambda sink: JsonAnswer(sink, wanted))([text])
    assert told == ([("text", expected), ("finish", "stop")] if expected else [("fail", "response_format_not_met")])


def test_what_is_wrong_with_json_is_said() -> None:
    notes = Notes()
    answer = JsonAnswer(notes, JsonFormat(CITY))
    answer.text('{"city": 7}')
    answer.finish(Finish("stop"))
    assert isinstance(notes.error, InvalidAnswer)
    assert '$.city: 7 is not of type "string"' == notes.error.fault


def test_json_that_was_cut_short_says_so() -> None:
    assert [("text", '{"a":'), ("finish", "length")] == through(lambda sink: JsonAnswer(sink, JsonFormat()), "length")(
        ['{"a":']
    )


def test_calls_in_place_of_json() -> None:
    notes = Notes()
    answer = JsonAnswer(notes, JsonFormat())
    answer.text("I will look it up.")
    answer.call("1", "go")
    answer.arguments("{}")
    answer.finish(Finish("tool_calls"))
    assert [("call", "go", "{}"), ("finish", "tool_calls")] == notes.told


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"properties": []},
        {"$ref": "#"},
        {"$ref": "#/$defs/gone"},
        {"items": {"$ref": "https://example.org/x"}},
    ],
    ids=str,
)
def test_schemas_that_are_none(schema: dict[str, object]) -> None:
    """Nothing is fetched for a schema, whatever it refers to."""
    with pytest.raises(InvalidRequest) as refused:
        check_schema(schema)
    assert "response_format.json_schema.schema" == refused.value.param


def test_schemas_that_refer_to_themselves() -> None:
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    }
    check_schema(tree)
    told = through(lambda sink: JsonAnswer(sink, JsonFormat(tree)))(['{"next": {"next": {}}}'])
    assert ("finish", "stop") == told[-1]
