"""A command of the proxy, run to its end as a user would."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str

    def line(self, text: str) -> str:
        """The one line of the output that holds ``text``."""
        found = [line for line in self.out.splitlines() if text in line]
        assert len(found) == 1, f"{len(found)} lines with {text!r} in:\n{self.out}\n{self.err}"
        return found[0]

    def columns(self, setting: str) -> list[str]:
        """Name, value and origin of the one setting of that name."""
        rows = [line.split(None, 2) for line in self.out.splitlines()]
        (row,) = [row for row in rows if row and row[0] == setting]
        return [part.strip() for part in row]


def run(cwd: Path, *arguments: str, env: Mapping[str, str], stdin: str = "") -> Ended:
    """``python -m proxy`` with these arguments and this environment, nothing of the tester's own."""
    clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
    ended = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=cwd,
        env=clean | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | dict(env),
        capture_output=True,
        input=stdin,
        text=True,
        timeout=30,
        check=False,
    )
    for output in (ended.stdout, ended.stderr):
        assert "Traceback" not in output, output
        assert "planted" not in output, output
    return Ended(ended.returncode, ended.stdout, ended.stderr)
