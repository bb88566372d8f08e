"""What a caller's schema may cost: refused with the request, or found out with the answer, before anything is checked."""

import json
from typing import Any

import pytest

from proxy.core.answer import Finish
from proxy.core.call import JsonFormat
from proxy.core.filters.json_answer import COLLECTED, VALUES, JsonAnswer
from proxy.core.filters.json_schema import check_schema
from proxy.core.filters.pattern_size import pattern_size
from proxy.errors import InvalidRequest
from tests.core.test_filters import through

Schema = dict[str, Any]


def each(*schemas: Schema) -> Schema:
    """A schema that applies all of these to each item."""
    return {"items": {"allOf": list(schemas)}}


def nested(keyword: str, depth: int) -> Schema:
    schema: Schema = {"properties": {"a": True}, "unevaluatedProperties": False}
    for _ in range(depth):
        inner = [schema] if keyword.endswith("Of") else schema
        schema = {keyword: inner, "unevaluatedProperties": False}
    return schema


def doubling(depth: int) -> Schema:
    levels = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": levels | {f"d{depth}": {"type": "integer"}}, "$ref": "#/$defs/d0"}


REFUSED: dict[str, Schema] = {
    "references that double": doubling(30),
    "unevaluated in allOf": nested("allOf", 20),
    "unevaluated in anyOf": nested("anyOf", 20),
    "unevaluated in if": nested("if", 20),
    "unevaluated in not": nested("not", 20),
    "unevaluated in contains": nested("contains", 20),
    "a long enum": {"enum": list(range(10_001))},
    "objects in enum": {"enum": [{"a": n} for n in range(1000)]},
    "many patterns": each(*({"pattern": f"[^a]{{1,{n}}}b"} for n in range(200, 260))),
    "one large pattern": {"pattern": "((a{50}){50}){50}"},
    "a large pattern for names": {"patternProperties": {"^.{1,5000}$": {"type": "integer"}}},
    "fractions": each(*({"multipleOf": 0.1} for _ in range(1000))),
    "many parts": each(*({"minimum": n} for n in range(6000))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_schemas_that_cost_too_much_are_refused_with_the_request(case: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_schema(REFUSED[case])
    assert "response_format.json_schema.schema" == refused.value.param


WIDE = each(*({"minimum": -n} for n in range(4900)))
NOT_CHECKED: dict[str, tuple[Schema | None, str]] = {
    "many parts for many numbers": (WIDE, json.dumps([7] * 32_000)),
    "many parts for a few long numbers": (each(*({"minimum": 1} for _ in range(400))), json.dumps([10**300] * 10)),
    "fractions of many numbers": (each({"multipleOf": 0.1}, {"multipleOf": 0.3}), json.dumps([0.3] * 5000)),
    "fractions of large numbers": (each(*({"multipleOf": 0.1} for _ in range(90))), "[" + "1e300," * 100 + "1]"),
    "a pattern for long texts": (each({"pattern": "^(?:a?){500}a{500}$"}), json.dumps(["a" * 100_000])),
    "unique items, many": ({"uniqueItems": True}, json.dumps(list(range(60_000)))),
    "a tree for many values": (
        {"anyOf": [{"items": {"$ref": "#"}}, *({"items": {"type": "string", "minLength": n}} for n in range(500))]},
        json.dumps([[7]] * 1000),
    ),
    "many values": (None, "[" + "1," * VALUES + "1]"),
    "a long answer": (None, json.dumps({"a": "b" * COLLECTED})),
    "a long answer for a schema": ({"type": "object"}, json.dumps({"a": "b" * COLLECTED})),
}


@pytest.mark.parametrize("case", NOT_CHECKED)
def test_answers_that_cost_too_much_are_not_checked(case: str) -> None:
    schema, text = NOT_CHECKED[case]
    if schema is not None:
        check_schema(schema)
    told = through(lambda sink: JsonAnswer(sink, JsonFormat(schema)))([text])
    assert [("fail", "response_format_not_checked")] == told


PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 200, "description": "how it is called"},
        "kind": {"enum": [f"kind-{n}" for n in range(300)]},
        "since": {"anyOf": [{"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}, {"type": "null"}]},
        "price": {"type": "number", "multipleOf": 0.01},
        "near": {"type": "array", "items": {"$ref": "#/$defs/place"}},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
}
PLACES: Schema = {
    "$defs": {"place": PLACE},
    "type": "object",
    "properties": {"places": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/place"}}},
}
FORM: Schema = {
    "type": "object",
    "properties": {
        f"field_{n}": {"type": ["string", "null"], "maxLength": 100, "title": "A field"} for n in range(800)
    },
    "required": [f"field_{n}" for n in range(400)],
    "additionalProperties": False,
}
USUAL: dict[str, tuple[Schema, Any]] = {
    "a list of places": (
        PLACES,
        {"places": [{"name": f"p{n}", "kind": "kind-7", "since": "2026-01-02", "price": n / 100} for n in range(100)]},
    ),
    "places near places": (PLACES, {"places": [{"name": "a", "kind": "kind-1", "near": [{"name": "b", "kind": "kind-2"}]}]}),
    "a long form": (FORM, {f"field_{n}": "x" for n in range(400)}),
    "many rows": (
        {"items": {"type": "object", "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}, "required": ["id"]}},
        [{"id": n, "text": "some words, and more"} for n in range(5000)],
    ),
    "strict objects in one another": (
        {"properties": {"a": {"properties": {"b": {"properties": {"c": True}, "unevaluatedProperties": False}}, "unevaluatedProperties": False}}},
        {"a": {"b": {"c": 1}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", USUAL)
def test_usual_schemas_and_answers_are_within_the_limits(case: str) -> None:
    schema, value = USUAL[case]
    check_schema(schema)
    text = json.dumps(value)
    assert [("text", text), ("finish", "stop")] == through(lambda sink: JsonAnswer(sink, JsonFormat(schema)))([text])


PATTERNS = {
    r"^\d{4}-\d{2}-\d{2}$": (12, 12),
    "[a-z]{1,64}": (64, 64),
    "[^a]{1,300}b": (3001, 301),
    "((a{50}){50}){50}": (125_000, 125_000),
    "x{2}{10}": (20, 20),
    r"\p{L}{3}": (900, 3),
    r"[\]a]{3}x{2,}": (5, 5),
    "a{9999999999}": (999_999, 999_999),
    "(": (0, 0),
    "": (0, 0),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_size_of_a_pattern(pattern: str) -> None:
    assert PATTERNS[pattern] == pattern_size(pattern)


def test_a_misfit_that_would_take_long_to_describe_is_not() -> None:
    wide: Schema = {"anyOf": [{"items": {"anyOf": [{"type": "string"}] * 50}}] * 50}
    check_schema(wide)
    faults = []

    class Sink:
        def fail(self, error: Any) -> None:
            faults.append(error.fault)

    answer = JsonAnswer(Sink(), JsonFormat(wide))  # type: ignore[arg-type]
    answer.text(json.dumps([7] * 50))
    answer.finish(Finish("stop"))
    assert ["it does not fit the schema"] == faults
