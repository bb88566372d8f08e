"""Whole lines to a descriptor, in writes that no other writer of the same pipe can cut."""

import os
import select
import time

ATOMIC = select.PIPE_BUF
"""Bytes that a pipe takes in one piece, whoever else writes to it (POSIX, write)."""
FULL_RETRY_S = 0.05
"""Between two tries where another process has made the descriptor non-blocking, and it is full."""


class LineWriter:
    """Writes to a descriptor, and blocks while its reader takes nothing. Used by one thread at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._torn = False

    def write(self, lines: bytes) -> int:
        """Write one or more whole lines. Return how many line ends could not be written."""
        data = b"\n" + lines if self._torn else lines  # the rest of a torn line is lost: the next begins a new one
        try:
            while data:
                written = self._write(data)
                self._torn = data[written - 1 : written] != b"\n"
                data = data[written:]
        except OSError:  # a full disk, or a reader that has ended
            return min(data.count(b"\n"), lines.count(b"\n"))
        return 0

    def _write(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                time.sleep(FULL_RETRY_S)
