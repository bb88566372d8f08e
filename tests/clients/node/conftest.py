"""This folder's scripts, run by Node."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MADE = HERE / "node_modules" / ".done"
LOCK = HERE / "package-lock.json"
Results = dict[str, Any]


def _missing() -> str | None:
    """What there is to install first."""
    if shutil.which("node") is None:
        return "Node is missing: install Node 20 or newer, with npm"
    if not MADE.exists() or MADE.stat().st_mtime < LOCK.stat().st_mtime:
        return f"{MADE.parent} is missing or older than its lock: run make test, which sets it up"
    return None


@pytest.fixture(scope="session")
def run_script() -> Callable[..., Results]:
    """Runs a script of this folder with the arguments given; what each of its cases brought."""
    if missing := _missing():
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)

    def run(name: str, *arguments: str) -> Results:
        ended = subprocess.run(
            ["node", HERE / name, *arguments],
            env={key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        results: Results = json.loads(ended.stdout.splitlines()[-1])
        return results

    return run
