"""A real Prometheus scrapes real proxies under load: everything that the dashboard and the rules ask has an answer,
and each thing that goes wrong is told by its own alert."""

import pytest

from tests.deploy.conftest import Run, expected
from tests.deploy.scenarios import SCENARIOS, Scenario
from tests.deploy.shipped import hurried, rules, targets

TARGETS = [
    pytest.param(expression, id=f"{panel['title']} {target['refId']}") for panel, target, expression in targets()
]
RULES = [pytest.param(rule, id=rule.get("record") or rule["alert"]) for rule in rules()]
ON_A_BUSY_MACHINE = "ProxyEventLoopLag"


@pytest.mark.parametrize("expression", TARGETS)
def test_the_dashboard_has_an_answer(run: Run, expression: str) -> None:
    assert max(run.prometheus.peaks(expression, run.since), default=0) > 0


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_an_answer(run: Run, rule: dict[str, str]) -> None:
    assert run.prometheus.peaks(hurried(rule["expr"]), run.since)
    if "record" in rule:
        assert max(run.prometheus.peaks(rule["record"], run.since), default=0) > 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_goes_wrong_is_told_by_its_alert(run: Run, scenario: Scenario) -> None:
    job = scenario.name
    wanted = {found for found in expected() if found[0] == job}
    fired = {found for found in run.fired if found[0] == job}
    assert wanted == fired - ({(job, ON_A_BUSY_MACHINE)} - wanted)


def test_a_graph_leads_to_one_request(run: Run) -> None:
    query = {"query": "proxy_request_duration_seconds_bucket", "start": run.since, "end": run.since + 60}
    found = run.prometheus.ask("query_exemplars", **query)
    ids = {exemplar["labels"]["correlation_id"] for series in found for exemplar in series["exemplars"]}
    assert {"stackspot-proxy", "slow"} <= ids, "the load sends the scenario's name"
