"""One run for all tests of this folder: a proxy for each scenario, under load, and a Prometheus that scrapes them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.deploy.prometheus import PROXIES, Prometheus
from tests.deploy.scenarios import LONELY, REJECTED, SCENARIOS, WELL, Load, Scenario, start
from tests.deploy.shipped import RULES, copy_hurried
from tests.support.processes import Proxy, StandIn
from tests.support.redis_server import RedisServer
from tests.support.redis_server import start_redis as start_redis
from tests.support.tools import require

NOBODY_THERE = "127.0.0.1:9"
LONGEST_S = 40.0


@dataclass
class Run:
    prometheus: Prometheus
    proxies: dict[Scenario, Proxy]
    since: float
    fired: set[tuple[str, str]] = field(default_factory=set)
    """Jobs with the alerts that fired at some time."""

    def wait_for(self, alerts: set[tuple[str, str]]) -> None:
        """Notes what fires until all of these did."""
        while not alerts <= self.fired and time.time() < self.since + LONGEST_S:
            self.fired |= self.prometheus.firing()
            time.sleep(0.25)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Ends when every alert that is to come has come, or is overdue."""
    require("prometheus", "redis")
    folder = tmp_path_factory.mktemp("run")
    with ExitStack() as stack:
        stand_in = StandIn(folder)
        stack.callback(stand_in.stop)
        redis = {scenario: RedisServer(folder) for scenario in (WELL, LONELY)}
        for server in redis.values():
            stack.callback(server.stop)

        def begin(scenario: Scenario) -> Proxy:
            server = redis.get(scenario)
            proxy = start(scenario, stand_in, folder / scenario.name, server.url if server else None)
            stack.callback(proxy.stop)
            return proxy

        with ThreadPoolExecutor(4) as pool:
            proxies = dict(zip(SCENARIOS, pool.map(begin, SCENARIOS), strict=True))
        jobs = {scenario.name: [proxy.url.removeprefix("http://")] for scenario, proxy in proxies.items()}
        jobs[PROXIES].append(NOBODY_THERE)
        copy_hurried(folder)
        prometheus = Prometheus(folder, jobs, RULES)
        stack.callback(prometheus.stop)
        load = Load(proxies)
        stack.callback(load.stop)
        redis[LONELY].kill()
        (folder / REJECTED.name / "config.yaml").write_text("model_lst: []\n", encoding="utf-8")
        found = Run(prometheus, proxies, time.time())
        found.wait_for(expected())
        load.stop()
        yield found


def expected() -> set[tuple[str, str]]:
    alerts = {(scenario.name, alert) for scenario in SCENARIOS for alert in scenario.alerts}
    return alerts | {(PROXIES, "ProxyDown")}  # for the address where nobody is
