"""What can be said of the files in deploy/ without running anything but promtool."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from proxy.errors import ProxyError
from proxy.telemetry.fault import SOURCES, fault
from proxy.telemetry.metrics.children import END_REASONS
from tests.deploy.prometheus import promtool
from tests.deploy.shipped import DASHBOARD, GRAFANA, PROMETHEUS, RULES, panels, rules
from tests.support.processes import Proxy

ALERTS = [rule for rule in rules() if "alert" in rule]
COMMANDS = [
    ("check", "config", "prometheus.yml"),
    ("check", "rules", *RULES),
    ("test", "rules", "tests.yml"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_promtool_is_content(command: tuple[str, ...]) -> None:
    done = promtool(*command, cwd=PROMETHEUS)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_promtool_is_content_with_the_metrics(proxy: Proxy) -> None:
    done = promtool("check", "metrics", cwd=PROMETHEUS, given=proxy.client.get("/metrics").text)
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do(alert: dict[str, dict[str, str]]) -> None:
    assert {"summary", "description", "runbook"} == alert["annotations"].keys()
    assert alert["labels"]["severity"] in ("critical", "warning")
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"(?m)^## (\w+)$", (PROMETHEUS / file).read_text(encoding="utf-8"))
    assert anchor in [heading.lower() for heading in headings]


def test_every_alert_has_a_unit_test() -> None:
    tested = (PROMETHEUS / "tests.yml").read_text(encoding="utf-8")
    assert [] == [alert["alert"] for alert in ALERTS if f"alertname: {alert['alert']}\n" not in tested]


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len(panels()) == len({panel["id"] for panel in panels()})


def missing(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """Where ``read`` has not what is ``given``."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from missing(value, read.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for number, pair in enumerate(zip(given, read, strict=True)):
            yield from missing(*pair, f"{path}[{number}]")
    elif given != read:
        yield path


def test_grafana_s_own_types_know_every_key_of_the_dashboard() -> None:
    given = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    plugins.register_default_plugins()
    read = json.loads(JSONEncoder(sort_keys=True).encode(dashboard.Dashboard.from_json(given)))
    assert [] == list(missing(given, read))
    assert [".panels[1].nonsense"] == list(missing({"panels": [{}, {"nonsense": 1}]}, {"panels": [{}, {}]}))


def test_the_datasource_is_asked_for_not_assumed() -> None:
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in panels()}
    assert 2 == len(list((GRAFANA / "provisioning").glob("*/*.yaml")))


def test_every_failure_has_a_label() -> None:
    def branch(error: type[ProxyError]) -> list[type[ProxyError]]:
        return [error] + [below for narrower in error.__subclasses__() for below in branch(narrower)]

    tree = branch(ProxyError)
    refused = {"rejected"}  # such a request has no answer that could end
    assert (
        set(END_REASONS) | refused == {error.end_reason for error in tree} | {"complete", "client_disconnect"} | refused
    )
    assert set(SOURCES) == {fault(error.__new__(error)) for error in tree}
