"""``response_format``: an answer that has to be JSON, and may have to fit a schema."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from proxy.core.answer import Answer, Finish
from proxy.core.call import JsonFormat
from proxy.errors import FormatNotMet, InvalidRequest, ProxyError

if TYPE_CHECKING:
    import jsonschema_rs

FENCE = "```"
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
        text = _without_fence(written.strip())
        cut_short = end.reason in ("length", "content_filter")  # the reason says that it is not whole
        if not cut_short and (fault := _fault(text, self._wanted.schema)):
            self._sink.fail(FormatNotMet("the answer is not the JSON asked for", written=written, fault=fault))
            return
        if text:
            self._sink.text(text)
        self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        self._sink.fail(error)


def _without_fence(text: str) -> str:
    """A text without the code fence round the whole of it."""
    if not (text.startswith(FENCE) and text.endswith(FENCE)):
        return text
    _, newline, inside = text.partition("\n")
    return inside.rstrip("`").strip() if newline else text


def check_schema(schema: Mapping[str, object]) -> None:
    """Raises ``InvalidRequest`` for what is no JSON Schema, or refers to something outside it."""
    try:
        _validator(schema)
    except ValueError as error:
        reason = getattr(error, "message", None) or str(error)
        raise InvalidRequest(f"{PARAM}: {str(reason)[:200]}", param=PARAM) from None


def _fault(text: str, schema: Mapping[str, object] | None) -> str:
    """What is wrong with an answer, in words; empty if nothing is."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}" if text else "it is empty"
    if schema is None:
        return "" if isinstance(value, dict) else "not a JSON object"
    try:
        misfit = next(_validator(schema).iter_errors(value), None)
    except (ValueError, OverflowError, RecursionError) as error:
        return f"it cannot be checked: {error}"
    if misfit is None:
        return ""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in misfit.instance_path)
    return f"${path}: {misfit.message[:300]}"


def _validator(schema: Mapping[str, object]) -> "jsonschema_rs.Draft202012Validator":
    """Raises ``ValueError``. Patterns come from callers and are matched against what models write, so they run in
    an engine whose time is linear; and nothing is fetched for a reference."""
    import jsonschema_rs  # only those who ask for a schema pay for it

    return jsonschema_rs.Draft202012Validator(
        dict(schema), retriever=_fetch_nothing, pattern_options=jsonschema_rs.RegexOptions()
    )


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"the reference {uri[:200]!r} leads nowhere")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
