"""JSON Schemas that callers send: bounded before they are used, since a small one can be made to cost any amount of
time and memory, or even the process."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

import orjson

from proxy.core.filters.schema_cost import SchemaCost, reckon
from proxy.errors import InvalidRequest

if TYPE_CHECKING:
    import jsonschema_rs

PARAM = "response_format.json_schema.schema"
STEPS = 500_000
"""The steps of a check at most: some 10 ms, and a few times that at the worst."""
DESCRIBED_WIDTH = 64
DESCRIBED = 300_000
"""Beyond this width, and these characters times the width, it is not told what does not fit: jsonschema-rs copies what
it looked at for each of the schemas that might have fitted."""
PATTERN_BYTES = 1 << 22  # compiled
REMEMBERED = 8
"""Schemas that stay compiled, for the answer and for further requests."""


class TooMuchToCheck(Exception):
    """An answer that would take too long to be checked against its schema."""


def check_schema(schema: Mapping[str, object]) -> None:
    """Raises ``InvalidRequest`` for what is no JSON Schema, refers to something outside it, or comes to too much."""
    try:
        _compiled(_written(schema))
    except RecursionError:
        raise InvalidRequest(f"{PARAM}: it is nested too deeply", param=PARAM) from None
    except ValueError as error:
        reason = getattr(error, "message", None) or str(error)
        told = f"{PARAM}: {str(reason)[:200]}"
        raise InvalidRequest(told, reason=f"{PARAM}: it is no schema that can be used", param=PARAM) from None


def misfit(value: object, schema: Mapping[str, object], text: str, values: int) -> str:
    """What does not fit a schema that was checked, in words; empty if everything does. ``text`` is what the value was
    read from, ``values`` at least as many as there are in it. Raises ``TooMuchToCheck``, and ``ValueError`` for a value
    that cannot be looked at."""
    compiled = _compiled(_written(schema))
    cost, validator = compiled.cost, compiled.validator
    if cost.steps(text, values) > STEPS:
        raise TooMuchToCheck
    if validator.is_valid(value):  # remembers what it has seen, unlike what tells of errors
        return ""
    if cost.loops > 1 or cost.width > DESCRIBED_WIDTH or cost.width * len(text) > DESCRIBED:
        return "it does not fit the schema"
    return _described(value, validator)


def _described(value: object, validator: "jsonschema_rs.Draft202012Validator") -> str:
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
        return f"${path}: {error.message[:300]}"
    return "it does not fit the schema"


def _written(schema: Mapping[str, object]) -> bytes:
    """Raises ``ValueError``."""
    try:
        return orjson.dumps(schema)
    except orjson.JSONEncodeError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Compiled:
    cost: SchemaCost
    validator: "jsonschema_rs.Draft202012Validator"


@lru_cache(maxsize=REMEMBERED)
def _compiled(written: bytes) -> _Compiled:
    """Raises ``ValueError``. Patterns come from callers and are matched against what models write, so they run in
    an engine whose time is linear; and nothing is fetched for a reference."""
    import jsonschema_rs  # only those who ask for a schema pay for it

    schema = orjson.loads(written)
    cost = reckon(schema)
    validator = jsonschema_rs.Draft202012Validator(
        schema, retriever=_fetch_nothing, pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)
    )
    return _Compiled(cost, validator)


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"the reference {uri[:200]!r} leads nowhere")
