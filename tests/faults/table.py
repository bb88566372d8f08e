"""The matrix as a table, made of what callers really got: ``FAULTS_TABLE=file pytest tests/faults/test_matrix.py``."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.faults.caller import Told
from tests.faults.wire import Way

HEAD = (
    "| the upstream | with `stream` | without | requests sent upstream |",
    "|---|---|---|---|",
)


class Table:
    """Rows in the order of their first entry; what is the same for StackSpot and for providers is told once."""

    def __init__(self) -> None:
        self._told: dict[str, dict[Way, str]] = defaultdict(dict)
        self._posts: dict[str, int] = {}

    def note(self, fault: str, way: Way, told: Told, posts: int) -> None:
        self._told[fault][way] = _said(told)
        self._posts[fault] = posts

    def write(self) -> None:
        if file := os.environ.get("FAULTS_TABLE"):
            Path(file).write_text("\n".join([*HEAD, *self._rows()]) + "\n", encoding="utf-8")

    def _rows(self) -> Iterable[str]:
        for fault, told in self._told.items():
            cells = [
                _cell({way: said for way, said in told.items() if way.streamed is stream}) for stream in (True, False)
            ]
            yield f"| {fault} | {' | '.join(cells)} | {self._posts[fault]} |"


def _said(told: Told) -> str:
    parts = [str(told.status)]
    if told.status == 200:
        parts += ["text" if told.code else "the whole answer"] if told.text else []
    if told.code:
        parts.append(f"`{told.code}`")
    if after := told.headers.get("retry-after"):
        parts.append(f"retry-after {after}")
    if told.headers.get("x-should-retry"):
        parts.append("not to be repeated")
    return ", ".join(parts)


def _cell(told: dict[Way, str]) -> str:
    names: dict[str, list[str]] = defaultdict(list)
    for way, said in told.items():
        names[said].append(way.name.partition(",")[0])
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{' and '.join(dict.fromkeys(who))}: {said}" for said, who in names.items()) or "-"
