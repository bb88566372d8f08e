"""The programs that some tests need beside Python, how each is recognised and how to get it.

``python -m tests.support.tools`` lists what is missing on this machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.processes import ROOT

CLIENTS = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".venv-clients"
WITHOUT_TOOLS = "WITHOUT_TOOLS"
"""Set by ``make test``: tests that need a tool are skipped even where the tool is there."""


@dataclass(frozen=True, slots=True)
class Tool:
    """``seconds`` is about how long it takes to get; ``get`` says how, where ``make test-all`` does not do it."""

    there: Callable[[], bool]
    seconds: int
    get: str = ""


def find_nginx() -> str | None:
    """The path of nginx, which Debian keeps out of the PATH of plain users."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _command(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) is not None for name in names)


def _environment(name: str) -> Callable[[], bool]:
    folder, lock = ENVIRONMENTS / name, CLIENTS / name / "requirements.lock"
    return lambda: _is_newer(folder / ".done", lock)


def _packages(name: str) -> Callable[[], bool]:
    folder = CLIENTS / name
    done, lock = folder / "node_modules" / ".done", folder / "package-lock.json"
    return lambda: shutil.which("node") is not None and _is_newer(done, lock)


def _is_newer(made: Path, source: Path) -> bool:
    return made.exists() and made.stat().st_mtime >= source.stat().st_mtime


def _namespaces() -> bool:
    """True for root on Linux where new mount and process namespaces may be made."""
    if not _command("unshare", "nsenter", "setpriv", "chroot")() or os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode == 0


_DEBIAN = "apt-get install {}, or your system's package"
TOOLS = {
    "redis": Tool(_command("redis-server"), 5, _DEBIAN.format("redis-server")),
    "nginx": Tool(lambda: find_nginx() is not None, 5, _DEBIAN.format("nginx")),
    "prometheus": Tool(_command("prometheus", "promtool"), 20, _DEBIAN.format("prometheus")),
    "chromium": Tool(_command("chromium"), 30, _DEBIAN.format("chromium")),
    "curl": Tool(_command("curl"), 5, _DEBIAN.format("curl")),
    "kubectl": Tool(_command("kubectl"), 10, "kubectl 1.27 or newer"),
    "node": Tool(_command("node", "npm"), 60, "Node 20 or newer, with npm"),
    "namespaces": Tool(_namespaces, 0, "run as root on Linux, where mount and process namespaces may be made"),
    "node packages": Tool(_packages("node"), 20),
    "kubernetes packages": Tool(_packages("kubernetes"), 10),
    "aider": Tool(_environment("aider"), 60, "" if sys.version_info < (3, 13) else "set PYTHON to Python 3.11 or 3.12"),
    "langchain": Tool(_environment("langchain"), 30),
    "litellm": Tool(_environment("litellm"), 40),
    "llama_index": Tool(_environment("llama_index"), 30),
    "schemathesis": Tool(_environment("schemathesis"), 30),
}


def require(*names: str) -> None:
    """Skip the test when one of these tools is missing; in CI, where all belong, fail it."""
    if os.environ.get(WITHOUT_TOOLS):
        pytest.skip(f"needs {' and '.join(names)}: `make test-all` runs it")
    for name in names:
        tool = TOOLS[name]
        if not tool.there():
            message = f"{name} is missing: {tool.get or '`make test-all` sets it up'}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)


def main() -> None:
    missing = {name: tool for name, tool in TOOLS.items() if not tool.there()}
    by_hand = {name: tool for name, tool in missing.items() if tool.get}
    if by_hand:
        print("missing; the tests that need one of these are skipped:")
        for name, tool in by_hand.items():
            print(f"  {name}: {tool.get}{f' (about {tool.seconds} s)' if tool.seconds else ''}")
    by_make = {name: tool.seconds for name, tool in missing.items() if not tool.get}
    if by_make:
        print(f"set up now, in about {sum(by_make.values())} s: {', '.join(by_make)}")
    if not missing:
        print("all tools that the tests need are here")


if __name__ == "__main__":
    main()
