"""A real Prometheus, and promtool."""

import math
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.tools import require

PROXIES = "stackspot-proxy"
"""The job that the shipped rules know."""
CONFIG = """\
global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}
rule_files: [{rules}]
scrape_configs:
{jobs}
"""
JOB = "  - {{job_name: {name}, static_configs: [{{targets: [{targets}]}}]}}"


def promtool(*arguments: str, cwd: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    require("prometheus")
    return subprocess.run(["promtool", *arguments], cwd=cwd, input=given, capture_output=True, text=True, timeout=30)


class Prometheus(Process):
    """Scrapes ``jobs``, names with addresses, and keeps to rules of its folder."""

    def __init__(self, cwd: Path, jobs: dict[str, list[str]], rules: Sequence[str], *, interval: str = "500ms") -> None:
        require("prometheus")
        listed = [JOB.format(name=name, targets=", ".join(f'"{it}"' for it in found)) for name, found in jobs.items()]
        text = CONFIG.format(interval=interval, rules=", ".join(rules), jobs="\n".join(listed))
        (cwd / "prometheus.yml").write_text(text, encoding="utf-8")
        self.url = f"http://127.0.0.1:{free_port()}"
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": self.url.removeprefix("http://"),
            "enable-feature": "exemplar-storage",
        }
        super().__init__(["prometheus", *(f"--{name}={value}" for name, value in options.items())], {}, cwd)
        self.wait_for("Server is ready to receive web requests")
        self.client = httpx.Client(base_url=f"{self.url}/api/v1", timeout=10, trust_env=False)

    def ask(self, path: str, **query: object) -> Any:
        reply = self.client.get(path, params={name: str(value) for name, value in query.items()})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values that an expression has now."""
        return [(found["metric"], float(found["value"][1])) for found in self.ask("query", query=expression)["result"]]

    def peaks(self, expression: str, since: float) -> list[float]:
        """The greatest value of each of an expression's series from then on; those without any number left out."""
        end = time.time()
        found = self.ask("query_range", query=expression, start=since, end=end, step=0.5)["result"]
        numbers = [[value for _, text in it["values"] if math.isfinite(value := float(text))] for it in found]
        return [max(values) for values in numbers if values]

    def firing(self) -> set[tuple[str, str]]:
        """Jobs, and the alerts that fire for them."""
        alerts = self.ask("alerts")["alerts"]
        return {(it["labels"]["job"], it["labels"]["alertname"]) for it in alerts if it["state"] == "firing"}

    def stop(self, number: int = 15) -> int:
        self.client.close()
        return super().stop(number)
