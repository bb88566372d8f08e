"""Where answers are kept: within bounds, for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

OVERHEAD = 512
"""What an entry takes beside its value, about."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """``size`` is in bytes, all entries together; ``ttl`` in seconds."""

    size: int
    entries: int
    ttl: float


class Store(Protocol):
    async def get(self, keys: Sequence[str]) -> bytes | None:
        """What is there under the first of ``keys`` that has something. Nothing is ever raised for a store that
        cannot be reached: it has nothing."""

    def put(self, key: str, value: bytes, bounds: Bounds) -> None:
        """Keeps it, at the cost of the oldest; whoever calls does not wait for that."""


class MemoryStore:
    """That of one process. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        """By key, those used last at the end: until when it is good, and the value."""
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """In bytes, about."""
        return self._size

    async def get(self, keys: Sequence[str]) -> bytes | None:
        for key in keys:
            if (found := self._entries.get(key)) is not None:
                until, value = found
                if self._clock() < until:
                    self._entries.move_to_end(key)
                    return value
                self._drop(key)
        return None

    def put(self, key: str, value: bytes, bounds: Bounds) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = self._clock() + bounds.ttl, value
        self._size += _weight(value)
        while self._size > bounds.size or len(self._entries) > bounds.entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        _, value = self._entries.pop(key)
        self._size -= _weight(value)


def _weight(value: bytes) -> int:
    return len(value) + OVERHEAD
