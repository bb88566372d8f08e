"""JSON Schemas that callers send: bounded before they are used, since a small one can be made to cost any amount of
time and memory, or even the process."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from proxy.errors import InvalidRequest

if TYPE_CHECKING:
    import jsonschema_rs

PARAM = "response_format.json_schema.schema"
PARTS = 10_000
"""So many parts a schema may have, every reference counted as what it stands for."""
PATTERN = 100
"""How many parts a regular expression counts as."""
PATTERN_BYTES = 1 << 22  # compiled
IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
"""What applies its schemas to the same value that it stands for."""
REFUSED = ("$dynamicRef", "$recursiveRef", "$id")  # what makes a reference mean something else than it says


def check_schema(schema: Mapping[str, object]) -> None:
    """Raises ``InvalidRequest`` for what is no JSON Schema, refers to something outside it, or comes to too much."""
    try:
        _Reckoning(schema)
        _validator(schema)
    except RecursionError:
        raise InvalidRequest(f"{PARAM}: it is nested too deeply", param=PARAM) from None
    except ValueError as error:
        reason = getattr(error, "message", None) or str(error)
        raise InvalidRequest(f"{PARAM}: {str(reason)[:200]}", param=PARAM) from None


def misfit(value: object, schema: Mapping[str, object]) -> str:
    """What does not fit a schema that was checked, in words; empty if nothing does not. Raises ``ValueError`` for a
    value that cannot be looked at."""
    import jsonschema_rs

    validator = _validator(schema)
    if validator.is_valid(value):  # remembers what it has seen, unlike what tells of errors
        return ""
    if _Reckoning(schema).loops > 1:  # telling could take time without end
        return "it does not fit the schema"
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        return f"${path}: {error.message[:300]}"
    return "it does not fit the schema"


class _Reckoning:
    """Reckons what a schema comes to, and how many of its references, ``loops``, lead back to what they are in.
    Raises ``ValueError`` when it is too much."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        self.loops = 0
        self._schema = schema
        self._known: dict[str, tuple[int, int]] = {}
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
        parts = PATTERN if key == "pattern" else 0
        if isinstance(value, str):
            if key == "$ref":
                return self._reference(value, place)
            if key in REFUSED and not (key == "$id" and at_root):
                raise ValueError(f"{key} is not known here")
        elif isinstance(value, dict):
            if key == "dependentSchemas":
                return 1 + sum(self._parts(schema, place) for schema in value.values())
            if key == "patternProperties":
                parts = PATTERN * len(value)
        return parts + self._parts(value, place if key in IN_PLACE else "")

    def _reference(self, reference: str, place: str) -> int:
        self._leads.setdefault(place, set()).add(reference)
        if reference in self._open:
            self.loops += 1
            return 1
        if reference not in self._known:
            before = self.loops
            self._open.add(reference)
            parts = self._parts(self._target(reference), reference)
            self._open.discard(reference)
            self._known[reference] = parts, self.loops - before
            return parts
        parts, loops = self._known[reference]
        self.loops += loops
        return parts

    def _check_circles(self) -> None:
        left = {place: set(leads) for place, leads in self._leads.items() if place}
        while ends := [place for place, leads in left.items() if not leads & left.keys()]:
            for place in ends:
                del left[place]
        if left:
            raise ValueError("a reference leads to itself")

    def _target(self, reference: str) -> object:
        if not reference.startswith("#/"):
            raise ValueError(f"the reference {reference[:100]!r} is not of the form #/$defs/name")
        target: object = self._schema
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isdecimal() and len(name) < 9 and int(name) < len(target):
                target = target[int(name)]
            else:
                raise ValueError(f"the reference {reference[:100]!r} leads nowhere")
        return target


def _validator(schema: Mapping[str, object]) -> "jsonschema_rs.Draft202012Validator":
    """Raises ``ValueError``. Patterns come from callers and are matched against what models write, so they run in
    an engine whose time is linear; and nothing is fetched for a reference."""
    import jsonschema_rs  # only those who ask for a schema pay for it

    return jsonschema_rs.Draft202012Validator(
        dict(schema), retriever=_fetch_nothing, pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)
    )


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"the reference {uri[:200]!r} leads nowhere")
