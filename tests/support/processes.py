"""The proxy and the simulator as real processes, as users run them."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support import leaks

ROOT = Path(__file__).parents[2]
CREDENTIALS = {
    "CLIENT_ID": "the-client",
    "CLIENT_SECRET": "planted-client-secret",
    "REALM": "acme",
    "GENAI_AGENT_ID": "01JZ4M7Q2X9WB3TKD5R8VHNC6E",
}
START_S = 20


class Process:
    """A command whose output is read line by line in the background, and searched for what must not be in it."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=clean | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"} | dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._with_messages = "LOG_MESSAGES" in env
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            leaks.look(line, with_messages=self._with_messages)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = START_S) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.output):
                return found
            if self.process.poll() is not None:
                self._thread.join(2)
                if found := re.search(pattern, self.output):
                    return found
                break
            time.sleep(0.01)
        raise AssertionError(f"{pattern!r} did not appear in:\n{self.output}")

    def wait(self, seconds: float = START_S) -> int:
        code = self.process.wait(seconds)
        self._thread.join(2)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the process; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Proxy(Process):
    """A running proxy. ``url`` is its root. ``trust`` are the certificates that show who it is, if it speaks TLS."""

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        cwd: Path,
        arguments: Sequence[str] = (),
        module: str = "proxy",
        within: Sequence[str] = (),
        trust: Path | None = None,
    ) -> None:
        """``within`` is a command that runs it."""
        command = [*within, sys.executable, "-m", module, *arguments]
        super().__init__(command, {"PROXY_PORT": "0", "LOG_LEVEL": "DEBUG"} | dict(env), cwd)
        self.url = self.wait_for(r'(?:"url":"|url=)(https?://[^"\s]+)')[1]
        verify = ssl.create_default_context(cafile=trust) if trust else True
        self.client = httpx.Client(base_url=self.url, timeout=30, verify=verify)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return super().stop(number)

    def events(self, **wanted: object) -> list[dict[str, Any]]:
        """The log events that have all the values wanted, so far."""
        found = [json.loads(line) for line in self.lines]
        return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]

    def wait_event(self, seconds: float = 5, **wanted: object) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not (found := self.events(**wanted)):
            assert time.monotonic() < deadline, f"no event {wanted} in:\n{self.output}"
            time.sleep(0.01)
        return found[-1]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        text = self.client.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def exemplars(self, name: str) -> list[dict[str, str]]:
        """The labels of the exemplars that a metric's samples have."""
        text = self.client.get("/metrics", headers={"accept": "application/openmetrics-text"}).text
        samples = [sample for family in open_metrics(text) for sample in family.samples if sample.name == name]
        return [sample.exemplar.labels for sample in samples if sample.exemplar]


class StandIn(Process):
    """The StackSpot simulator as a process, with its control routes."""

    def __init__(self, cwd: Path, *arguments: str) -> None:
        super().__init__([sys.executable, "-m", "proxy", "simulator", "--port", "0", *arguments], {}, cwd)
        self.url = self.wait_for(r"listens on (http://[^;\s]+)")[1]
        self.client = httpx.Client(base_url=self.url, timeout=30)

    @property
    def env(self) -> dict[str, str]:
        """What makes a proxy take this for StackSpot."""
        return {"STACKSPOT_IDM_URL": self.url, "STACKSPOT_API_URL": self.url}

    def script(self, correlation_id: str, *answers: dict[str, Any]) -> None:
        """The answers to the next requests with this correlation id, in order."""
        reply = self.client.put(f"/_simulator/scripts/{correlation_id}", json=list(answers))
        assert reply.status_code < 300, reply.text

    def requests(self, correlation_id: str) -> list[dict[str, Any]]:
        """The agent chat requests that came with this correlation id."""
        reply = self.client.get("/_simulator/requests", params={"correlation_id": correlation_id})
        found: list[dict[str, Any]] = reply.raise_for_status().json()
        return found

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/_simulator/stats").raise_for_status().json()
        return found

    def settings(self, **values: object) -> None:
        self.client.put("/_simulator/settings", json=values).raise_for_status()

    def revoke(self) -> None:
        """All tokens given out so far are refused from now on."""
        self.client.post("/_simulator/revoke").raise_for_status()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return super().stop(number)
