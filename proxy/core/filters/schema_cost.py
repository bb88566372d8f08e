"""What it costs to check an answer against a caller's JSON Schema, reckoned before it is done.

A small schema can be made to take any amount of time: by parts that all apply to each value, by references that
double at every level, by ``unevaluatedProperties`` inside one another, by regular expressions, by arithmetic with long
numbers. jsonschema-rs holds the interpreter's lock meanwhile, so that no thread helps. One step below is some 20 ns.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from proxy.core.filters.pattern_size import pattern_size

PARTS = 10_000
"""Parts of a schema at most, every reference counted as what it stands for, and the states of its patterns."""
WIDTH = 10_000
"""Steps at one value of an answer at most."""
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
"""What applies its schemas to the same value that it stands for."""
BELOW = frozenset(
    {"items", "additionalItems", "additionalProperties", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties"}
)
"""What applies its schema to each value inside, beside ``contains``."""
WITHOUT_EFFECT = frozenset(
    {"$defs", "definitions", "title", "description", "default", "examples", "$comment", "$schema"}
)
REFUSED = ("$dynamicRef", "$recursiveRef", "$id")  # what makes a reference mean something else than it says
UNEVALUATED = 4
"""Times that ``unevaluated...`` has what is applied beside it looked at, ``contains`` included."""
UNIQUE = 20
"""Steps for each value inside that has to be unlike the others."""
WHOLE_MULTIPLE = 3
OTHER_MULTIPLE = 100
PLAIN_VALUES = 8
"""Values of ``enum`` that are one step together, ..."""
NESTED_VALUE = 20
"""... but for those that are objects or lists: so many steps for each value inside."""
POSITIONS_A_STEP = 100
"""So many positions of a pattern are one step for each character of an answer."""
STEPS_A_DIGIT = 5
EXPONENT = 20

_LONG_NUMBER = re.compile(r'(?<!["\w.])\d{19,}')  # over 64 bits
_EXPONENT = re.compile(r"\d[eE][+-]?\d\d")


@dataclass(frozen=True, slots=True)
class SchemaCost:
    """``width`` is the number of steps that one value can take, ``positions`` that of all patterns, ``loops`` how many
    references lead back to what they stand in. ``fractions`` says that values are divided by fractions."""

    width: int
    positions: int
    loops: int
    fractions: bool

    def steps(self, text: str, values: int) -> int:
        """The steps for an answer of so many ``values``; ``text`` is what it was read from."""
        values += sum(STEPS_A_DIGIT * len(found[0]) for found in _LONG_NUMBER.finditer(text))
        if self.fractions:
            values += EXPONENT * sum(1 for _ in _EXPONENT.finditer(text))
        return self.width * values + self.positions * len(text) // POSITIONS_A_STEP


def reckon(schema: Mapping[str, object]) -> SchemaCost:
    """Raises ``ValueError`` for a schema that comes to too much, or whose references cannot be followed."""
    parts = _Parts(schema)
    width = _Width(schema, sum if parts.loops else max).of(schema)
    if width > WIDTH:
        raise ValueError(f"it takes more than {WIDTH} steps to check one value against it")
    return SchemaCost(width, parts.positions, parts.loops, parts.fractions)


class _Parts:
    """Counts the parts of a schema and looks at its references."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self.loops = 0
        self.positions = 0
        self.fractions = False
        self._schema = schema
        self._known: dict[str, tuple[int, int, int]] = {}
        self._open = {"#"}
        self._seen = 0
        self._leads: dict[str, set[str]] = {}  # from one reference to others, at the same place of the answer
        self._parts(schema, "#")
        self._check_circles()

    def _parts(self, node: object, place: str) -> int:
        """``place`` is the reference that stands for the schema applied here, empty where it is applied further
        inside."""
        self._seen += 1
        parts = 1
        if isinstance(node, list):
            parts += sum(self._parts(item, place) for item in node)
        elif isinstance(node, dict):
            parts += sum(self._part(key, value, place, at_root=node is self._schema) for key, value in node.items())
        if max(parts, self._seen) > PARTS:
            raise ValueError(f"it comes to more than {PARTS} parts")
        return parts

    def _part(self, key: str, value: object, place: str, *, at_root: bool) -> int:
        parts = 0
        if isinstance(value, str):
            if key == "$ref":
                return self._reference(value, place)
            if key == "pattern":
                parts = self._pattern(value)
            elif key in REFUSED and not (key == "$id" and at_root):
                raise ValueError(f"{key} is not known here")
        elif isinstance(value, dict):
            if key == "dependentSchemas":
                return 1 + sum(self._parts(schema, place) for schema in value.values())
            if key == "patternProperties":
                parts = sum(map(self._pattern, value))
        elif key == "multipleOf" and isinstance(value, float):
            self.fractions = True
        return parts + self._parts(value, place if key in IN_PLACE else "")

    def _pattern(self, pattern: str) -> int:
        states, positions = pattern_size(pattern)
        self.positions += positions
        return states

    def _reference(self, reference: str, place: str) -> int:
        self._leads.setdefault(place, set()).add(reference)
        if reference in self._open:
            self.loops += 1
            return 1
        if reference not in self._known:
            before = self.loops, self.positions
            self._open.add(reference)
            parts = self._parts(target_of(self._schema, reference), reference)
            self._open.discard(reference)
            self._known[reference] = parts, self.loops - before[0], self.positions - before[1]
            return parts
        parts, loops, positions = self._known[reference]
        self.loops += loops
        self.positions += positions
        return parts

    def _check_circles(self) -> None:
        left = {place: set(leads) for place, leads in self._leads.items() if place}
        while ends := [place for place, leads in left.items() if not leads & left.keys()]:
            for place in ends:
                del left[place]
        if left:
            raise ValueError("a reference leads to itself")


class _Width:
    """Reckons how many steps a schema takes at one value, the value that it is applied to or any inside. Of
    ``properties`` only one applies to a value inside, so ``choose`` is ``max``; it is ``sum`` for a schema that refers
    to itself, whose parts may all meet at one value, once each: jsonschema-rs remembers what it has checked where."""

    def __init__(self, schema: Mapping[str, object], choose: Callable[[Iterable[int]], int]) -> None:
        self._schema = schema
        self._choose = choose
        self._known: dict[str, int] = {"#": 1}

    def of(self, schema: object) -> int:
        if not isinstance(schema, dict):
            return 1
        own, beside, below, contained, named = 1, 0, 0, 0, [0]
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                beside += self._reference(value)
            elif key in IN_PLACE:
                beside += sum(map(self.of, value)) if isinstance(value, list) else self.of(value)
            elif key == "dependentSchemas" and isinstance(value, dict):
                beside += sum(map(self.of, value.values()))
            elif key in BELOW:
                below += sum(map(self.of, value)) if isinstance(value, list) else self.of(value)
            elif key == "contains":
                contained += self.of(value)
            elif key in ("properties", "patternProperties") and isinstance(value, dict):
                own += len(value)
                widths = [0, *map(self.of, value.values())]
                named.append(self._choose(widths) if key == "properties" else sum(widths))
            elif key == "prefixItems" and isinstance(value, list):
                named.append(self._choose([0, *map(self.of, value)]))
            elif key not in WITHOUT_EFFECT:
                own += _weight(key, value)
        again = UNEVALUATED if {"unevaluatedItems", "unevaluatedProperties"} & schema.keys() else 1
        inside = again * contained + below + sum(named)
        return again * beside + (max(own, inside) if self._choose is max else own + inside)

    def _reference(self, reference: str) -> int:
        if reference not in self._known:
            self._known[reference] = 1  # where it leads back to itself
            self._known[reference] = self.of(target_of(self._schema, reference))
        return self._known[reference]


def _weight(key: str, value: object) -> int:
    """The steps of a keyword that applies no schema."""
    match key, value:
        case "multipleOf", int():
            return WHOLE_MULTIPLE
        case "multipleOf", _:
            return OTHER_MULTIPLE
        case "uniqueItems", _:
            return UNIQUE
        case ("const", _) | ("enum", list()):
            values = value if key == "enum" and isinstance(value, list) else [value]
            nested = [item for item in values if isinstance(item, dict | list)]
            return 1 + (len(values) - len(nested)) // PLAIN_VALUES + NESTED_VALUE * sum(map(_size, nested))
    return _size(value)


def _size(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def target_of(schema: Mapping[str, object], reference: str) -> object:
    """What a reference stands for. Raises ``ValueError``."""
    if reference != "#" and not reference.startswith("#/"):
        raise ValueError(f"the reference {reference[:100]!r} is not of the form #/$defs/name")
    target: object = schema
    for step in reference[2:].split("/") if reference != "#" else ():
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdecimal() and len(name) < 9 and int(name) < len(target):
            target = target[int(name)]
        else:
            raise ValueError(f"the reference {reference[:100]!r} leads nowhere")
    return target
