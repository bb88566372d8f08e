"""A value that is valid for a JSON Schema, filled with what a text says.

Understood: type, enum, const, $ref within the schema, anyOf/oneOf/allOf, required, items, and the bounds of
numbers, lengths and counts. `pattern` is not.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat

Schema = Mapping[str, object]

_DEPTH = 12  # a schema may refer to itself
_FORMATS = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|`([^`\n]+)`|(?<!\w)\'([^\'\n]+)\'(?!\w)')
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_WORD = re.compile(r"[^\W\d_][\w'-]*|[.!?:\n]")


@dataclass(frozen=True, slots=True)
class Hints:
    """What a text offers for strings and for numbers; each asking takes the next."""

    text: str
    strings: Iterator[str] = field(init=False)
    numbers: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        numbers = [float(number) for number in _NUMBER.findall(self.text)]
        object.__setattr__(self, "strings", chain(named(self.text), repeat(self.text.strip() or "text")))
        object.__setattr__(self, "numbers", chain(numbers, repeat(numbers[-1] if numbers else 1.0)))


def named(text: str) -> list[str]:
    """What is quoted in the text, then its names: runs of capitalised words inside a sentence."""
    quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(text)]
    runs: list[list[str]] = [[]]
    opening = True
    for word in _WORD.findall(text):
        is_name = word[0].isupper() and not opening
        opening = not word[0].isalpha()
        if is_name and len(word) > 1:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return quoted + [" ".join(run) for run in runs if run]


def sample(schema: object, hints: Hints) -> object:
    return _value(schema, hints, schema if isinstance(schema, Mapping) else {}, 0)


def _value(schema: object, hints: Hints, root: Schema, depth: int) -> object:
    if not isinstance(schema, Mapping):  # the schemas `true` and none at all
        return next(hints.strings)
    schema = resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return _choice(options, hints.text)
    match _kind(schema):
        case "object":
            return _object(schema, hints, root, depth)
        case "array":
            return _array(schema, hints, root, depth)
        case "integer":
            return int(_number(schema, next(hints.numbers), whole=True))
        case "number":
            number = _number(schema, next(hints.numbers), whole=False)
            return int(number) if number.is_integer() else number
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, hints)


def resolve(schema: Schema, root: Schema) -> Schema:
    """The schema with its $ref followed, its branches chosen and its allOf merged."""
    for _ in range(_DEPTH):
        if isinstance(ref := schema.get("$ref"), str):
            schema = {**_without(schema, "$ref"), **_follow(ref, root)}
        elif branch := _branch(schema):
            schema = {**_without(schema, "anyOf", "oneOf"), **branch}
        elif isinstance(parts := schema.get("allOf"), list):
            schema = _merge([_without(schema, "allOf"), *(resolve(part, root) for part in parts)])
        else:
            break
    return schema


def _follow(ref: str, root: Schema) -> Schema:
    target: object = root
    for name in ref.removeprefix("#").strip("/").split("/"):
        if name and isinstance(target, Mapping):
            target = target.get(name.replace("~1", "/").replace("~0", "~"))
    return target if isinstance(target, Mapping) else {}


def _branch(schema: Schema) -> Schema | None:
    """The first branch that is not null."""
    branches = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(branches, list):
        return None
    known = [branch for branch in branches if isinstance(branch, Mapping)]
    return next((branch for branch in known if branch.get("type") != "null"), known[0] if known else None)


def _merge(parts: list[Schema]) -> Schema:
    merged: dict[str, object] = {}
    properties: dict[str, object] = {}
    required: list[object] = []
    for part in parts:
        merged |= part
        if isinstance(more := part.get("properties"), Mapping):
            properties |= more
        if isinstance(names := part.get("required"), list):
            required += names
    return merged | ({"properties": properties, "required": required} if properties else {})


def _without(schema: Schema, *names: str) -> dict[str, object]:
    return {name: value for name, value in schema.items() if name not in names}


def _kind(schema: Schema) -> object:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return kind


def _choice(options: list[object], text: str) -> object:
    said = text.casefold()
    return next((one for one in options if isinstance(one, str) and one.casefold() in said), options[0])


def _object(schema: Schema, hints: Hints, root: Schema, depth: int) -> dict[str, object]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(required, list) or depth > _DEPTH:
        return {}
    known = properties if isinstance(properties, Mapping) else {}
    return {str(name): _value(known.get(name), hints, root, depth + 1) for name in required}


def _array(schema: Schema, hints: Hints, root: Schema, depth: int) -> list[object]:
    least, most = _bound(schema, "minItems", 1), _bound(schema, "maxItems", math.inf)
    count = min(max(least, 1), most) if depth < _DEPTH else least
    prefix = schema.get("prefixItems")
    items = chain(prefix if isinstance(prefix, list) else [], repeat(schema.get("items")))
    return [_value(next(items), hints, root, depth + 1) for _ in range(int(count))]


def _string(schema: Schema, hints: Hints) -> str:
    known = _FORMATS.get(str(schema.get("format")))
    text = known if known is not None else next(hints.strings)
    text = text.ljust(int(_bound(schema, "minLength", 0)), "x")
    most = _bound(schema, "maxLength", math.inf)
    return text[: int(most)] if most < len(text) else text


def _number(schema: Schema, said: float, *, whole: bool) -> float:
    """What was said, if the bounds allow it, else the simplest number that they allow."""
    low, high = _bound(schema, "minimum", -math.inf), _bound(schema, "maximum", math.inf)
    above, below = _bound(schema, "exclusiveMinimum", -math.inf), _bound(schema, "exclusiveMaximum", math.inf)
    step = _bound(schema, "multipleOf", 0)
    bounds = [bound for bound in (low, high, above, below) if math.isfinite(bound)]
    near = [bound + shift for bound in bounds for shift in (0, 1, -1)]
    candidates = [said, 1.0, 0.0, *near, sum(bounds) / len(bounds) if bounds else 1.0]
    if whole:
        candidates = [float(rounded(one)) for one in candidates for rounded in (math.floor, math.ceil)]
    if step:
        candidates = [rounded(one / step) * step for one in candidates for rounded in (math.floor, math.ceil)]
    valid = (one for one in candidates if low <= one <= high and above < one < below)
    return next(valid, said)


def _bound(schema: Schema, name: str, otherwise: float) -> float:
    value = schema.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
