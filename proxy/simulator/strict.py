"""JSON into frozen dataclasses, strictly: every unknown, missing or ill-typed field is named.

The dataclasses are the documentation: their annotations are read and nothing else. Understood are `str`,
`bool`, `int`, `float`, `None`, `object` (any JSON), `Literal`, unions, `tuple[X, ...]`, `tuple[X, Y]`,
`dict[str, X]` and other dataclasses. No number may be negative: none of the fields here has a use for it.
"""

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


class Invalid(ValueError):
    """A field that is not as it should be; `str()` of it starts with the field's path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def read(kind: type[T], value: object, path: str = "") -> T:
    """`value` as an instance of the dataclass `kind`, or `Invalid` naming the field below `path`."""
    if not isinstance(value, dict):
        raise Invalid(path, "must be an object")
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            raise Invalid(_join(path, str(name)), "unknown field")
    for name in _required(kind):
        if name not in value:
            raise Invalid(_join(path, name), "is required")
    given = {name: convert(hints[name], item, _join(path, name)) for name, item in value.items()}
    try:
        return kind(**given)
    except Invalid as error:  # from a __post_init__, which knows its own field but not where it stands
        raise Invalid(_join(path, error.path), error.reason) from None


def convert(hint: Any, value: object, path: str) -> object:
    """`value` as the annotation `hint` wants it."""
    if not _fits(hint, value):
        raise Invalid(path, f"must be {_name(hint)}")
    if _is_union(hint):
        return convert(next(member for member in get_args(hint) if _fits(member, value)), value, path)
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, path)
    if isinstance(value, list) and get_origin(hint) is tuple:
        return _tuple(get_args(hint), value, path)
    if isinstance(value, dict) and get_origin(hint) is dict:
        return {name: convert(get_args(hint)[1], item, _join(path, name)) for name, item in value.items()}
    if hint in (int, float) and isinstance(value, (int, float)):
        if value < 0:
            raise Invalid(path, "must not be negative")
        return hint(value)
    return value


def _tuple(members: tuple[Any, ...], value: list[object], path: str) -> tuple[object, ...]:
    if members[-1] is Ellipsis:
        return tuple(convert(members[0], item, f"{path}[{number}]") for number, item in enumerate(value))
    if len(members) != len(value):
        raise Invalid(path, f"must have {len(members)} items")
    return tuple(
        convert(member, item, f"{path}[{number}]")
        for number, (member, item) in enumerate(zip(members, value, strict=True))
    )


def _fits(hint: Any, value: object) -> bool:
    """Whether the outermost type is right; what is inside is looked at when it is converted."""
    if _is_union(hint):
        return any(_fits(member, value) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list)
    if get_origin(hint) is dict or is_dataclass(hint):
        return isinstance(value, dict)
    if hint is float:
        return type(value) in (int, float)
    return hint is object or type(value) is hint


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _name(hint: Any) -> str:
    if _is_union(hint):
        return " or ".join(_name(member) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is tuple:
        return "a list"
    if get_origin(hint) is dict or is_dataclass(hint):
        return "an object"
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    return names.get(hint, "null")


def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _required(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
