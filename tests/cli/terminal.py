"""A command of the proxy at a terminal: standard output and standard error are one, as people see them."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.processes import ROOT

LONGEST_S = 20.0


class Terminal:
    """``python -m proxy`` with these arguments on a pseudo-terminal."""

    def __init__(self, cwd: Path, *arguments: str, env: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        clean = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "proxy", *arguments],
            cwd=cwd,
            env=clean | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"} | dict(env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._pty = ours
        self.shown = ""

    def wait_for(self, text: str) -> None:
        self._read(lambda: text in self.shown)
        assert text in self.shown, self.shown

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def type(self, text: str) -> None:
        os.write(self._pty, text.encode())

    def end(self) -> int:
        """Waits for the end; the exit code."""
        self._read(lambda: False)
        os.close(self._pty)
        return self._process.wait(LONGEST_S)

    def _read(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline and not enough():
            if not select.select([self._pty], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._pty, 65536)
            except OSError:  # Linux says so when the other side has closed
                return
            if not data:
                return
            self.shown += data.decode(errors="replace")
