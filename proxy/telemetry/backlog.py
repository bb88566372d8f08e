"""Work that must not be done on a request's way: handed over to a thread, in bounded numbers."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

GATHER_S = 0.25
"""What comes within this time is worked off in one go, so that the thread seldom takes the interpreter away from the
event loop."""

Item = TypeVar("Item")


class Backlog(Generic[Item]):
    """``work`` is called in a thread of its own with what was offered since, in order, and with how many were not
    taken since: those beyond ``items``, or beyond ``weight`` together."""

    def __init__(
        self,
        work: Callable[[Sequence[Item], int], None],
        *,
        name: str,
        items: int,
        weight: int,
        gather: float = GATHER_S,
    ) -> None:
        self._work = work
        self._name = name
        self._most_items = items
        self._most_weight = weight
        self._gather = gather
        self._lock = threading.Lock()
        self._items: list[Item] = []
        self._weight = 0
        self._dropped = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item, weight: int) -> bool:
        """False when it was not taken. Never waits for the work."""
        with self._lock:
            fits = len(self._items) < self._most_items and self._weight + weight <= self._most_weight
            if fits and not self._closing.is_set():
                self._items.append(item)
                self._weight += weight
            else:
                fits = False
                self._dropped += 1
        if not self._wake.is_set():
            self._wake.set()
        return fits

    def close(self, seconds: float) -> bool:
        """Takes nothing more; waits until the rest is worked off, for ``seconds`` at most. False if it is not."""
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(self._gather)
            self._wake.clear()
            self._work_off()
        self._work_off()

    def _work_off(self) -> None:
        with self._lock:
            items, self._items, self._weight = self._items, [], 0
            dropped, self._dropped = self._dropped, 0
        if not items and not dropped:
            return
        try:
            self._work(items, dropped)
        except Exception:  # the boundary of the thread: it goes on with what comes next
            log.exception("backlog.failed", work=self._name)
