"""A limit on the length of the text, for upstreams that know none."""

from proxy.core.answer import CHARS_PER_TOKEN, Answer, Finish
from proxy.errors import ProxyError


class Length:
    """An Answer that finishes with ``length`` once its text has ``max_tokens``, estimated at four characters
    each. Arguments count as well, but a call is never cut."""

    __slots__ = ("_over", "_room", "_sink")

    def __init__(self, sink: Answer, max_tokens: int) -> None:
        self._sink = sink
        self._room = max_tokens * CHARS_PER_TOKEN
        self._over = False

    def text(self, piece: str) -> None:
        if self._over:
            return
        if len(piece) <= self._room:
            self._room -= len(piece)
            self._sink.text(piece)
            return
        if self._room > 0:
            self._sink.text(piece[: self._room])
        self.finish(Finish("length"))

    def reasoning(self, piece: str) -> None:
        if not self._over:
            self._sink.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        if not self._over:
            self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        if not self._over:
            self._room -= len(piece)
            self._sink.arguments(piece)

    def finish(self, end: Finish) -> None:
        if not self._over:
            self._over = True
            self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        if not self._over:
            self._over = True
            self._sink.fail(error)
