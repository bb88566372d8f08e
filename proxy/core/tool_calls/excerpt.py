"""The part of a text that a model is shown again."""

WRITTEN_LIMIT = 8192


class Excerpt:
    """The first ``WRITTEN_LIMIT`` characters of what is added."""

    __slots__ = ("_budget", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._budget = WRITTEN_LIMIT

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> None:
        if self._budget > 0 and text:
            self._parts.append(text[: self._budget])
            self._budget -= len(text)
