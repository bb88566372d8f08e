"""``response_format``: an answer that has to be JSON, and may have to fit a schema."""

import json
import re
from collections.abc import Mapping

from proxy.core.answer import Answer, Finish
from proxy.core.call import JsonFormat
from proxy.core.filters.json_schema import TooMuchToCheck, misfit
from proxy.errors import FormatNotChecked, FormatNotMet, ProxyError

TRIES = 16
"""Brackets of an answer at which JSON is looked for, where the answer as a whole is none."""
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
        text = written.strip()
        cut_short = end.reason in ("length", "content_filter")  # the reason says that it is not whole
        try:
            text = _without_fence(text) if cut_short else _json_in(text, self._wanted.schema)
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


def _json_in(text: str, schema: Mapping[str, object] | None) -> str:
    """The JSON of an answer: all of it, or the one value in it that is what was asked for, where there are words or a
    code fence around it. Raises ``TooMuchToCheck``."""
    _count_values(text)
    if not text or _is_json(text):
        return text
    bare = _without_fence(text)
    if bare is text or not _is_json(bare):
        fitting = [value for value in _values(bare) if not _fault(value, schema)]
        return fitting[0] if len(fitting) == 1 else bare
    return bare


def _without_fence(text: str) -> str:
    """A text without the code fence round the whole of it, on lines of its own or not."""
    fence = _FENCED.fullmatch(text)
    return fence[1].strip() if fence else text


def _values(text: str) -> list[str]:
    """The objects and arrays that stand among words in a text; none where one may be a part of broken JSON."""
    found: list[str] = []
    at = 0
    for _ in range(TRIES):
        opening = _BRACKET.search(text, at)
        if opening is None:
            return found
        try:
            _, at = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            if opening[1]:
                return []
            at = opening.end()
            continue
        if _KEY_BEFORE.search(text, max(opening.start() - 16, 0), opening.start()) or _GOES_ON.match(text, at):
            return []
        found.append(text[opening.start() : at])
    return []


def _count_values(text: str) -> int:
    """At least as many as there are values in a text. Raises ``TooMuchToCheck``."""
    values = 1 + sum(map(text.count, ",[{"))
    if values > VALUES:
        raise TooMuchToCheck
    return values


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _fault(text: str, schema: Mapping[str, object] | None) -> str:
    """What is wrong with an answer, in words; empty if nothing is. Raises ``TooMuchToCheck``."""
    values = _count_values(text)
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


_FENCED = re.compile(r"```(?:[\w+.-]{0,32}[ \t\r]*\n|json(?=[\s{\[\"]))?(.*?)`{3,}", re.DOTALL)
_BRACKET = re.compile(r"(\{|\[\s*[\[{\"])|\[")
"""The first group is JSON, broken or not; another bracket may belong to the words."""
_KEY_BEFORE = re.compile(r"(?:\"\s{0,4}:|[,\[{])\s{0,8}\Z")
_GOES_ON = re.compile(r"\s*[\]},\"]")
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
