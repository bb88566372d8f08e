"""The image, as far as it can be looked at where no container engine is: linted, and rehearsed step by step."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.deploy.image import DOCKERFILE, script, stages
from tests.faults.caller import ask
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.tools import require

BIN = Path(sys.executable).parent
LOCKED = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))


class Rehearsed(Process):
    """The image's process on this machine. ``inner`` is it as this machine sees it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        keep = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        super().__init__(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script(self.port)], keep, folder
        )
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            self.wait_for("server.listening", 90)
        except AssertionError:
            self.stop()
            raise
        (self.inner,) = psutil.Process(self.process.pid).children()

    def stop(self, number: int = signal.SIGKILL) -> int:
        """Signals what is inside: what is outside ends with it."""
        if self.process.poll() is None:
            for process in psutil.Process(self.process.pid).children(recursive=True):
                process.send_signal(number)
        return self.wait()

    def inside(self, *command: str, **env: str) -> int:
        """The exit code of a command beside it, with its root and its environment."""
        variables = [f"{key}={value}" for key, value in (self.inner.environ() | env).items()]
        enter = ["nsenter", "-t", str(self.inner.pid), "--mount", "--pid", "--root", "--wd", "env", "-i", *variables]
        return subprocess.run([*enter, *command], capture_output=True, timeout=20).returncode


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    require("namespaces")
    process = Rehearsed(tmp_path_factory.mktemp("image"))
    yield process
    process.stop()


def test_hadolint_is_content() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True, timeout=30)
    assert (0, "") == (done.returncode, done.stdout + done.stderr)


def test_what_goes_to_the_builder_is_what_is_copied() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = [
        text.split()[:-1] for stage in stages() for each, text in stage.steps if each == "COPY" and "--from" not in text
    ]
    assert {name for names in copied for name in names} == {line[1:] for line in ignored if line.startswith("!")}


def test_it_is_process_1_of_a_user_without_rights(image: Rehearsed) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{image.inner.pid}/status").read_text().splitlines())
    assert "1" == status["NSpid"].split()[-1]
    assert {"10001"} == set(status["Uid"].split()) | set(status["Gid"].split())
    assert {0} == {int(status[each], 16) for each in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert "1" == status["NoNewPrivs"]
    root = Path(f"/proc/{image.inner.pid}/root")
    assert ["config.yaml", "proxy"] == sorted(each.name for each in (root / "app").iterdir())
    assert not list((root / "opt/venv").glob("lib/*/site-packages/pip")), "nothing can be installed"
    with pytest.raises(OSError, match="Read-only"):
        (root / "app" / "new").touch()


def test_its_health_is_what_the_check_says(image: Rehearsed) -> None:
    check = stages()[-1].health
    assert 0 == image.inside(*check)
    assert 0 == image.inside(*check, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    assert 0 != image.inside(*check, PROXY_PORT="9")


def test_what_is_installed_is_what_is_locked(image: Rehearsed) -> None:
    found = list(Path(f"/proc/{image.inner.pid}/root/opt/venv").glob("lib/*/site-packages/*.dist-info"))
    installed = {
        re.sub(r"[-_.]+", "-", name.lower()): version for name, version in (each.stem.split("-") for each in found)
    }
    assert installed.items() <= dict(LOCKED).items()
    assert {"aiohttp", "redis", "opentelemetry-sdk", "uvloop"} <= installed.keys()


def test_sigterm_lets_an_answer_end(image: Rehearsed) -> None:
    """The last test of this process."""
    with ThreadPoolExecutor(1) as pool:
        text = "word " * 60
        asked = pool.submit(
            ask, image.url, "image-1", timeout=20, stream=True, messages=[{"role": "user", "content": text}]
        )
        image.wait_for('"correlation_id":"image-1".*sse.connected|sse.connected.*"correlation_id":"image-1"')
        time.sleep(0.2)
        assert not asked.done()
        assert 0 == image.stop(signal.SIGTERM)
        told = asked.result()
    assert (200, True) == (told.status, told.complete)


def test_the_sbom_names_all_that_is_locked(tmp_path: Path) -> None:
    (command,) = re.findall(r"(?m)^\t\$\(BIN\)/(cyclonedx-py .*)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    file = tmp_path / "sbom.json"
    words = [str(file) if word == "build/sbom.cdx.json" else word for word in command.split() if word != "--validate"]
    words.append("--no-validate")  # that takes seconds
    done = subprocess.run([BIN / words[0], *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    components = json.loads(file.read_text())["components"]
    assert set(LOCKED) == {(each["name"], each["version"]) for each in components}
    assert all(reference["hashes"] for each in components for reference in each["externalReferences"])
