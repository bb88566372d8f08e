"""Where clients are installed whose dependencies clash with the others'."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.processes import ROOT

HERE = Path(__file__).parent


def environment(name: str) -> Path:
    """The folder of the commands of one in ``.venv-clients``. Without it the test is skipped; in CI it fails."""
    folder = ROOT / ".venv-clients" / name
    _made_from(HERE / name / "requirements.lock", folder)
    return folder / "bin"


def node_modules() -> Path:
    """The packages for Node."""
    if shutil.which("node") is None:
        _missing("Node is missing: install Node 20 or newer, with npm")
    folder = HERE / "node" / "node_modules"
    _made_from(HERE / "node" / "package-lock.json", folder)
    return folder


def plain_environment(**more: str) -> dict[str, str]:
    """The variables that a client's process gets: none that say where services are."""
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")} | more


def _made_from(lock: Path, folder: Path) -> None:
    made = folder / ".done"
    if not made.exists() or made.stat().st_mtime < lock.stat().st_mtime:
        _missing(f"{folder} is missing or older than its lock: run make test, which sets it up")


def _missing(reason: str) -> None:
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
