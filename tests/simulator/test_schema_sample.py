"""Values out of schemas and texts."""

from typing import Any

import pytest

from proxy.simulator.schema_sample import Hints, named, sample

TEXT = "Fly me from Lisboa to São Paulo with 2 bags, 7.5 kg, in economy."

VALUES: dict[str, tuple[Any, object]] = {
    "a string": ({"type": "string"}, "Lisboa"),
    "a whole number": ({"type": "integer"}, 2),
    "a number": ({"type": "number"}, 2),
    "a boolean": ({"type": "boolean"}, True),
    "null": ({"type": "null"}, None),
    "nullable": ({"type": ["null", "integer"]}, 2),
    "no type": ({}, "Lisboa"),
    "no schema": (True, "Lisboa"),
    "const": ({"const": 9}, 9),
    "enum, as the text says": ({"enum": ["business", "Economy"]}, "Economy"),
    "enum, the text silent": ({"enum": [1, 2]}, 1),
    "only what is required": (
        {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["b"]},
        {"b": 2},
    ),
    "nothing required": ({"type": "object", "properties": {"a": {}}}, {}),
    "required but not described": ({"type": "object", "required": ["a"]}, {"a": "Lisboa"}),
    "strings and numbers in their order": (
        {
            "type": "object",
            "properties": {
                "from": {"type": "string"},
                "to": {"type": "string"},
                "bags": {"type": "integer"},
                "weight": {"type": "number"},
            },
            "required": ["from", "to", "bags", "weight"],
        },
        {"from": "Lisboa", "to": "São Paulo", "bags": 2, "weight": 7.5},
    ),
    "objects within": (
        {
            "type": "object",
            "properties": {"a": {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}},
            "required": ["a"],
        },
        {"a": {"b": True}},
    ),
    "an array": ({"type": "array", "items": {"type": "string"}}, ["Lisboa"]),
    "an array of so many": ({"items": {"type": "string"}, "minItems": 2}, ["Lisboa", "São Paulo"]),
    "an array of none": ({"type": "array", "maxItems": 0}, []),
    "a tuple": ({"type": "array", "prefixItems": [{"type": "integer"}, {"const": 1}], "minItems": 2}, [2, 1]),
    "$ref": ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 2),
    "$ref with escapes": ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}, 2),
    "$ref to nowhere": ({"$ref": "#/$defs/n"}, "Lisboa"),
    "anyOf": ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 2),
    "oneOf": ({"oneOf": [{"type": "boolean"}, {"type": "integer"}]}, True),
    "allOf": (
        {
            "allOf": [
                {"properties": {"a": {"const": 1}}, "required": ["a"]},
                {"properties": {"b": {"const": 2}}, "required": ["b"]},
            ]
        },
        {"a": 1, "b": 2},
    ),
    "a minimum": ({"type": "integer", "minimum": 10}, 10),
    "a maximum": ({"type": "integer", "maximum": 1}, 1),
    "between the whole numbers": ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    "above": ({"type": "integer", "exclusiveMinimum": 10}, 11),
    "a multiple": ({"type": "integer", "multipleOf": 5, "minimum": 7}, 10),
    "a length at least": ({"type": "string", "minLength": 8}, "Lisboaxx"),
    "a length at most": ({"type": "string", "maxLength": 3}, "Lis"),
    "a format": ({"type": "string", "format": "date"}, "2024-01-31"),
}


@pytest.mark.parametrize(("schema", "expected"), VALUES.values(), ids=VALUES)
def test_sample(schema: Any, expected: object) -> None:
    value = sample(schema, Hints(TEXT))
    assert value == expected
    assert type(expected) is type(value)


def test_a_schema_that_refers_to_itself_ends() -> None:
    node: dict[str, object] = {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}}
    assert isinstance(sample(node, Hints("")), dict)
    loop: dict[str, object] = {"$ref": "#"}
    assert sample(loop, Hints("x")) == "x"


def test_used_up_hints_fall_back_to_the_text() -> None:
    hints = Hints(" olá ")
    assert [next(hints.strings), next(hints.strings)] == ["olá", "olá"]
    assert next(hints.numbers) == 1.0


NAMES: dict[str, tuple[str, list[str]]] = {
    "inside a sentence": ("What is the weather in São Paulo?", ["São Paulo"]),
    "not at its beginning": ("Weather. Paris is cold.", []),
    "quoted first": ('Search Google for "red shoes" and `x`', ["red shoes", "x", "Google"]),
    "apostrophes are no quotes": ("It's Ana's turn", ["Ana's"]),
    "nothing": ("olá", []),
}


@pytest.mark.parametrize(("text", "expected"), NAMES.values(), ids=NAMES)
def test_names(text: str, expected: list[str]) -> None:
    assert named(text) == expected
