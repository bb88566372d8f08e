"""An answer that is a call in another format and nothing else, as far as it has come."""

import re

from proxy.core.tool_calls.markers import LONGEST, Marker, fold

_CLOSING = re.compile(r"\n[ \t]*`{3,}")


class WholeAnswer:
    """Collects the text of an answer. ``fence``: where the code fence begins that the call is in, -1 without one.
    ``limit`` bounds it, in characters."""

    __slots__ = ("_closed", "_fence", "_limit", "_parts", "_size", "_start", "_tail")

    def __init__(self, start: Marker, fence: int, limit: int) -> None:
        self._start = start
        self._fence = fence
        self._limit = limit
        self._parts: list[str] = []
        self._size = 0
        self._tail = ""  # folded; a marker or a closing fence may begin in it
        self._closed = False

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> bool:
        """Reads on. False once the answer holds something else, or is too long to be held."""
        folded = fold(text)
        if not self._parts:
            folded = folded[self._fence + 3 :]  # after the opening fence
        self._parts.append(text)
        self._size += len(text)
        window = self._tail + folded
        self._tail = window[-LONGEST:]
        if self._size > self._limit or self._start.find(window)[0] >= 0:
            return False
        if self._closed:
            return not folded.strip("` \t\r\n")
        if self._fence < 0:
            return True
        closing = _CLOSING.search(window)
        self._closed = closing is not None
        return closing is None or not window[closing.end() :].strip("` \t\r\n")

    @property
    def is_a_call(self) -> bool:
        """The answer has ended, and is what it began as."""
        return self._fence >= 0 or self.text.rstrip("`;. \t\r\n").endswith((")", "]", "}"))
