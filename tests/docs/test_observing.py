"""What the documents list is what there is: metrics with their labels, log events with their levels, attributes of
spans."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter

from proxy.telemetry.metrics.families import Families
from tests.docs.documents import sections
from tests.support.processes import ROOT

LEVELS = {"debug", "info", "warning", "error", "critical"}
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
ERROR = {"exception": "error"}


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the tables of a section."""
    for line in sections()[heading].splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([a-z0-9_.]+)`", cell)


def test_metrics_and_labels() -> None:
    families = vars(Families(CollectorRegistry())).values()
    made = {family._name + ("_total" if isinstance(family, Counter) else ""): family._labelnames for family in families}
    made["proxy_shared_state_up"] = ()  # made where Redis is configured
    listed = {name: cells[1] for cells in rows("Metrics") for name in names(cells[0])}
    assert made.keys() == listed.keys()
    for name, labels in made.items():
        assert set(labels) <= set(names(listed[name])) or "the same" in listed[name], name


def nodes() -> Iterator[ast.AST]:
    for path in (ROOT / "proxy").rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def told() -> dict[str, set[str]]:
    """All names that log calls have in the code, with their levels."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            level, first = ERROR.get(node.func.attr, node.func.attr), node.args[0]
            if level in LEVELS and isinstance(first, ast.Constant) and EVENT.fullmatch(str(first.value)):
                found[str(first.value)].add(level)
    return found


def test_log_events_and_levels() -> None:
    listed: dict[str, set[str]] = {}
    for cells in rows("Log events"):
        events, levels = names(cells[0]), cells[1].split(", ")
        levels = levels * len(events) if len(levels) == 1 else levels
        listed |= {event: {level} for event, level in zip(events, levels, strict=True)}
    assert {"warning and above"} == listed.pop("library.message"), "whose level is the library's"
    written = {node.value for node in nodes() if isinstance(node, ast.Constant)}
    assert listed.keys() <= written
    found = told()
    assert found == {name: levels for name, levels in listed.items() if name in found}, "some names are arguments"


def test_attributes_of_spans() -> None:
    code = ast.parse((ROOT / "proxy" / "telemetry" / "traces" / "spans.py").read_text(encoding="utf-8"))
    words = {str(node.value) for node in ast.walk(code) if isinstance(node, ast.Constant)}
    made = {word for word in words if re.fullmatch(r"(?:[a-z_]+\.)+[a-z_]+|(?:correlation|request)_id", word)}
    assert made == {name for cells in rows("Traces") for name in names(cells[0])}
