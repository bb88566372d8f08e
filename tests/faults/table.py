"""The matrix as the README has it, made of what callers really got. ``FAULTS_TABLE=write pytest
tests/faults/test_matrix.py`` brings it up to date."""

import os
from collections import defaultdict

from tests.faults.caller import Told
from tests.faults.wire import Way
from tests.support.processes import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- faults: made by tests/faults/test_matrix.py -->\n", "<!-- /faults -->\n"
HEAD = (
    "| the upstream | with `stream` | without | sent upstream |",
    "|---|---|---|---|",
)
LABELS = {"agent": "StackSpot", "gpt": "provider", "collected": "a provider's stream, collected"}


class Table:
    """A row for all faults that come to the same; what is the same for StackSpot and for providers is told once."""

    def __init__(self) -> None:
        self.noted = 0
        self._told: dict[str, dict[Way, str]] = defaultdict(dict)
        self._posts: dict[str, int] = defaultdict(int)

    def note(self, fault: str, way: Way, told: Told, posts: int) -> None:
        self.noted += 1
        self._told[fault][way] = _said(told)
        self._posts[fault] = max(posts, self._posts[fault])

    def publish(self) -> tuple[str, str]:
        """What the page says, and what it should say."""
        before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
        published, end, behind = rest.partition(END)
        made = "\n".join([*HEAD, *self._rows()]) + "\n"
        if os.environ.get("FAULTS_TABLE") == "write":
            README.write_text(before + begin + made + end + behind, encoding="utf-8")
            return made, made
        return published, made

    def _rows(self) -> list[str]:
        alike: dict[str, list[str]] = defaultdict(list)
        for fault, told in self._told.items():
            cells = [
                _cell({way: said for way, said in told.items() if way.streamed is stream}) for stream in (True, False)
            ]
            alike[f"{' | '.join(cells)} | {self._posts[fault]}"].append(fault)
        return [f"| {'; '.join(faults)} | {cells} |" for cells, faults in alike.items()]


def _said(told: Told) -> str:
    if told.status == 200:
        what = f"200, the text, an error event `{told.code}`" if told.code else "200, the whole answer"
    else:
        what = f"{told.status} `{told.code}`"
    if after := told.headers.get("retry-after"):
        what += f", retry-after {after}"
    if told.headers.get("x-should-retry"):
        what += ", x-should-retry false"
    return what


def _cell(told: dict[Way, str]) -> str:
    models: dict[str, list[str]] = defaultdict(list)
    for way, said in told.items():
        models[said].append(LABELS[way.model])
    if len(models) == 1:
        return next(iter(models))
    return "; ".join(f"{', '.join(who)}: {said}" for said, who in models.items()) or "-"
