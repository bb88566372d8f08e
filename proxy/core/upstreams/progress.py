"""A limit on what an upstream may send without carrying its answer on: comments, empty and unknown events."""

BARREN_LIMIT = 1 << 20


class BarrenBytes:
    """Counts bytes received since the answer last made progress."""

    __slots__ = ("_count", "_progress")

    def __init__(self) -> None:
        self._count = 0
        self._progress = 0

    def exceeded(self, progress: int, size: int) -> bool:
        """Count ``size`` bytes; whether they are over the limit. ``progress`` is a number that changes with every
        part of the answer: it need not be shown each time."""
        if progress != self._progress:
            self._progress = progress
            self._count = 0
        else:
            self._count += size
        return self._count > BARREN_LIMIT
