"""What deploy/ holds, as the tests want it: expressions with everything filled in, rules that do not take minutes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.processes import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
KUBERNETES = ROOT / "deploy" / "kubernetes"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "stackspot-proxy.json"
RULES = ("recording.yml", "alerts.yml")
WINDOW = "10s"
VARIABLES = {"$job": ".+", "$model": ".+", "$__rate_interval": WINDOW}


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without the headings between them."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def targets(**variables: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Each panel with each of its targets and what that asks Prometheus."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in (VARIABLES | {f"${name}": value for name, value in variables.items()}).items():
                expression = expression.replace(name, value)
            yield panel, target, hurried(expression)


def rules() -> list[dict[str, Any]]:
    """All rules, as they are shipped."""
    files = [yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8")) for name in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def hurried(text: str) -> str:
    """Rules that look back over seconds instead of minutes, and do not wait."""
    return re.sub(r"(?m)for: \d+m$", "for: 1s", re.sub(r"\[\d+m\]", f"[{WINDOW}]", text))


def copy_hurried(folder: Path) -> None:
    for name in RULES:
        text = (PROMETHEUS / name).read_text(encoding="utf-8")
        (folder / name).write_text(hurried(text), encoding="utf-8")
