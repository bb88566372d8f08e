"""``response_format``: an answer that has to be JSON, and may have to fit a schema."""

import json
from collections.abc import Mapping

from proxy.core.answer import Answer, Finish
from proxy.core.call import JsonFormat
from proxy.core.filters.json_schema import TooMuchToCheck, misfit
from proxy.errors import FormatNotChecked, FormatNotMet, ProxyError

FENCE = "```"
COLLECTED = 1024 * 1024
"""Characters of an answer at most."""
VALUES = 128 * 1024
"""Values of an answer at most, counted before they are built: one for each comma and each bracket, also in texts."""


class JsonAnswer:
    """An Answer that collects its text and passes it on as one piece, without the code fence round it, once it is
    the JSON asked for; otherwise it fails. An answer that makes calls is passed on without its text."""

    def __init__(self, sink: Answer, wanted: JsonFormat) -> None:
        self._sink = sink
        self._wanted = wanted
        self._texts: list[str] = []
        self._room = COLLECTED
        self._calls = 0

    def text(self, piece: str) -> None:
        if self._room < 0:
            return
        self._room -= len(piece)
        self._texts.append(piece)
        if self._room < 0:
            self._texts.clear()
            self._sink.fail(FormatNotChecked(f"it has more than {COLLECTED} characters"))

    def reasoning(self, piece: str) -> None:
        self._sink.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        self._calls += 1
        self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        self._sink.arguments(piece)

    def finish(self, end: Finish) -> None:
        if self._room < 0:
            return
        if self._calls:
            self._sink.finish(end)
            return
        written = "".join(self._texts)
        text = _without_fence(written.strip())
        cut_short = end.reason in ("length", "content_filter")  # the reason says that it is not whole
        try:
            fault = "" if cut_short else _fault(text, self._wanted.schema)
        except TooMuchToCheck:
            self._sink.fail(FormatNotChecked("it would take too long for its size and the schema's"))
            return
        if fault:
            self._sink.fail(FormatNotMet("the answer is not the JSON asked for", written=written, fault=fault))
            return
        if text:
            self._sink.text(text)
        self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        if self._room >= 0:
            self._sink.fail(error)


def _without_fence(text: str) -> str:
    """A text without the code fence round the whole of it."""
    if not (text.startswith(FENCE) and text.endswith(FENCE)):
        return text
    _, newline, inside = text.partition("\n")
    return inside.rstrip("`").strip() if newline else text


def _fault(text: str, schema: Mapping[str, object] | None) -> str:
    """What is wrong with an answer, in words; empty if nothing is. Raises ``TooMuchToCheck``."""
    values = 1 + sum(map(text.count, ",[{"))
    if values > VALUES:
        raise TooMuchToCheck
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}" if text else "it is empty"
    if schema is None:
        return "" if isinstance(value, dict) else "not a JSON object"
    try:
        return misfit(value, schema, text, values)
    except (ValueError, OverflowError, RecursionError) as error:
        return f"it cannot be checked: {error}"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
