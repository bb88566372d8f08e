"""Stop sequences on text: what an upstream without them lacks."""

from collections.abc import Sequence

from proxy.core.answer import Answer, Finish
from proxy.errors import ProxyError


class Stop:
    """An Answer that finishes before the one of ``sequences`` that is complete first in its text. The longest
    suffix that could still become one is held back. Calls pass; they are not text."""

    __slots__ = ("_held", "_longest", "_over", "_sequences", "_sink")

    def __init__(self, sink: Answer, sequences: Sequence[str]) -> None:
        self._sink = sink
        self._sequences = [sequence for sequence in sequences if sequence]
        self._longest = max(map(len, self._sequences), default=0)
        self._held = ""
        self._over = False

    def text(self, piece: str) -> None:
        if self._over:
            return
        text = self._held + piece
        hits = [(at + len(sequence), at) for sequence in self._sequences if (at := text.find(sequence)) >= 0]
        if hits:
            self._held = text[: min(hits)[1]]
            self.finish(Finish("stop"))
            return
        keep = self._could_begin(text)
        self._held = text[keep:]
        if keep:
            self._sink.text(text[:keep])

    def reasoning(self, piece: str) -> None:
        if not self._over:
            self._sink.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        if not self._over:
            self._release()
            self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        if not self._over:
            self._sink.arguments(piece)

    def finish(self, end: Finish) -> None:
        if not self._over:
            self._release()
            self._over = True
            self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        if not self._over:
            self._release()
            self._over = True
            self._sink.fail(error)

    def _release(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._sink.text(held)

    def _could_begin(self, text: str) -> int:
        """Where the longest suffix begins that is the beginning of a sequence."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(sequence.startswith(text[at:]) for sequence in self._sequences):
                return at
        return len(text)
