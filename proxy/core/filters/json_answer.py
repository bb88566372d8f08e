"""``response_format``: an answer that has to be JSON, and may have to fit a schema."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.core.answer import Answer, Finish
from proxy.core.call import JsonFormat
from proxy.errors import FormatNotMet, InvalidRequest, ProxyError

_FENCED = re.compile(r"\A\s*`{3,}[\w+.-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*`{3,}\s*\Z", re.DOTALL)
PARAM = "response_format.json_schema.schema"


class JsonAnswer:
    """An Answer that collects its text and passes it on as one piece, without the code fence round it, once it is
    the JSON asked for; otherwise it fails. An answer that makes calls is passed on without its text."""

    def __init__(self, sink: Answer, wanted: JsonFormat) -> None:
        self._sink = sink
        self._wanted = wanted
        self._texts: list[str] = []
        self._calls = 0

    def text(self, piece: str) -> None:
        self._texts.append(piece)

    def call(self, id: str, name: str) -> None:
        self._calls += 1
        self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        self._sink.arguments(piece)

    def finish(self, end: Finish) -> None:
        if self._calls:
            self._sink.finish(end)
            return
        written = "".join(self._texts)
        fenced = _FENCED.match(written)
        text = (fenced[1] if fenced else written).strip()
        cut_short = end.reason in ("length", "content_filter")  # the reason says that it is not whole
        if not cut_short and (fault := _fault(text, self._wanted.schema)):
            self._sink.fail(FormatNotMet("the answer is not the JSON asked for", written=written, fault=fault))
            return
        if text:
            self._sink.text(text)
        self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        self._sink.fail(error)


def check_schema(schema: Mapping[str, object]) -> None:
    """Raises ``InvalidRequest`` for what is no JSON Schema, or refers to something outside it."""
    from jsonschema import Draft202012Validator, SchemaError  # only those who ask for a schema pay for it
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry[Any]().resolver_with_root(DRAFT202012.create_resource(schema))
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as error:
        raise InvalidRequest(f"{PARAM}: {error.message[:200]}", param=PARAM) from None
    except Unresolvable as error:
        raise InvalidRequest(f"{PARAM}: the reference {error.ref!r} leads nowhere", param=PARAM) from None
    except RecursionError:
        raise InvalidRequest(f"{PARAM}: it is nested too deeply", param=PARAM) from None


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        schema = list(schema.values())
    if isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)


def _fault(text: str, schema: Mapping[str, object] | None) -> str:
    """What is wrong with an answer, in words; empty if nothing is."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}" if text else "it is empty"
    if schema is None:
        return "" if isinstance(value, dict) else "not a JSON object"
    return _misfit(value, schema)


def _misfit(value: object, schema: Mapping[str, object]) -> str:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # A registry of its own: the default one would fetch what a schema refers to.
    validator = Draft202012Validator(schema, registry=Registry[Any]())
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as unresolvable:
        return f"the schema's reference {unresolvable.ref!r} leads nowhere"
    except RecursionError:
        return "the schema leads on without end"
    if error is None:
        return ""
    return f"{error.json_path}: {error.message[:300]}"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
