"""The counts of one answer, live."""

from proxy.core.turn import Turn
from proxy.telemetry.metrics.children import ModelChildren


class Tally:
    """Adds an answer's events and chunks to its model's counters: now and then while it is under way, so that
    nothing is done per chunk, and once more at its end."""

    __slots__ = ("_children", "_chunks", "_events", "_turn")

    def __init__(self, turn: Turn, children: ModelChildren) -> None:
        self._turn = turn
        self._children = children
        self._events = 0
        self._chunks = 0

    def move(self, children: ModelChildren) -> None:
        """From here on another model answers."""
        self.flush()
        self._children = children

    def flush(self) -> None:
        events, chunks = self._turn.events, self._turn.chunks
        if events > self._events:
            self._children.events.inc(events - self._events)
            self._events = events
        if chunks > self._chunks:
            self._children.chunks.inc(chunks - self._chunks)
            self._chunks = chunks
