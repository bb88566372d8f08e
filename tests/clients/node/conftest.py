"""This folder's scripts, run by Node."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import node_modules, plain_environment

HERE = Path(__file__).parent
Results = dict[str, Any]


@pytest.fixture(scope="session")
def run_script() -> Callable[..., Results]:
    """Runs a script of this folder with the arguments given; what each of its cases brought."""
    node_modules()

    def run(name: str, *arguments: str) -> Results:
        ended = subprocess.run(
            ["node", HERE / name, *arguments],
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        results: Results = json.loads(ended.stdout.splitlines()[-1])
        return results

    return run
