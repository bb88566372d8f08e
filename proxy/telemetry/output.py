"""Log lines on their way to a descriptor. A reader that stalls, or a full disk, costs lines and never a request."""

import atexit
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from queue import SimpleQueue

from prometheus_client import Counter

from proxy.telemetry.line_writer import ATOMIC, LineWriter

HELD_BYTES = 4 * 1024 * 1024
"""Lines held for a reader that stalls, in bytes together. Lines beyond it are dropped and counted."""
LINE_COST = 128
"""Bytes that a held line costs beside its text."""
GATHER_S = 0.005
"""The thread sleeps so long after it has written, so that a burst of lines wakes it seldom."""
CLOSE_S = 2.0
"""How long the end of the process waits for a reader that takes nothing."""

LINES_LOST = Counter("proxy_log_lines_lost_total", "Log lines that could not be written.", registry=None)
"""Of the whole process, since all parts of it log to the same descriptor."""


class Output:
    """A text file whose ``write`` never blocks: a thread of its own does the writing.

    The descriptor stays blocking, because other processes may share it. ``on_recovery`` is called in that thread, with
    the number of lines lost, when lines can be written again. ``write`` may be called at any time, also while the
    garbage collector runs in the middle of another call, so its lock and its queue are reentrant.
    """

    def __init__(self, descriptor: int) -> None:
        self.on_recovery: Callable[[int], None] = _ignore
        self._writer = LineWriter(descriptor)
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._lock = threading.RLock()
        self._held = 0
        self._lost = 0
        """Since the last call of ``on_recovery``."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"output-{descriptor}", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a line with its line end, or several that belong together."""
        data = text.encode(errors="backslashreplace")
        cost = len(data) + LINE_COST
        with self._lock:
            taken = self._held + cost <= HELD_BYTES
            if taken:
                self._held += cost
        if taken:
            self._queue.put(data)
        else:
            self._count_lost(1)
        return len(text)

    def flush(self) -> None:
        """Do nothing: a logging handler calls it after each line."""

    def close(self, seconds: float = CLOSE_S) -> None:
        """Wait until all lines are written, for ``seconds`` at most. Lines that come later are lost."""
        self._closing.set()
        self._queue.put(b"")  # wakes the thread
        self._thread.join(seconds)

    def _count_lost(self, lines: int) -> None:
        LINES_LOST.inc(lines)
        with self._lock:
            self._lost += lines

    # The rest runs in the thread.

    def _run(self) -> None:
        while True:
            lines = [self._queue.get()]
            while not self._queue.empty():
                lines.append(self._queue.get())
            failed = sum(self._write(batch) for batch in _batches(lines))
            if self._lost and not failed:
                self._report()
            if self._closing.wait(GATHER_S) and self._queue.empty():
                return

    def _write(self, lines: Sequence[bytes]) -> int:
        """How many of the lines are lost."""
        lost = min(self._writer.write(b"".join(lines)), len(lines))
        with self._lock:
            self._held -= sum(map(len, lines)) + LINE_COST * len(lines)
        if lost:
            self._count_lost(lost)
        return lost

    def _report(self) -> None:
        with self._lock:
            lost, self._lost = self._lost, 0
        self.on_recovery(lost)


def _batches(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """As many lines at a time as fit into one atomic write; a longer line alone."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > ATOMIC:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    yield batch


@cache
def output(descriptor: int) -> Output:
    """The one output of a descriptor. What it holds at the end of the process is written then, if that is possible."""
    made = Output(descriptor)
    atexit.register(made.close)
    return made


def _ignore(_: int) -> None:
    pass
