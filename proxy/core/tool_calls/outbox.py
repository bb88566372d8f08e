"""What goes to the caller of what was read, and when.

Text and calls go out at once. From the first call in a code fence on they wait: a question after it says that it is an
example. After a block that cannot be read they wait as well: its repair comes first.
"""

from proxy.core.answer import Answer, Finish
from proxy.core.tool_calls.excerpt import WRITTEN_LIMIT
from proxy.errors import LaterCall, ProxyError, ToolCallUnreadable

_QUESTION = "?\uff1f\u061f"


class Outbox:
    """``limit`` bounds what waits, in characters.

    Attributes:
        calls: how many calls were read.
        announced: a call is open whose arguments are passed on while they arrive.
        asked_about: a question follows a call in a code fence.
    """

    __slots__ = ("_budget", "_keep_text", "_later", "_parallel", "_queue", "_sink", "announced", "asked_about", "calls")

    def __init__(self, sink: Answer, *, keep_text: bool, parallel: bool, limit: int) -> None:
        self.calls = 0
        self.announced = False
        self.asked_about = False
        self._sink = sink
        self._keep_text = keep_text
        self._parallel = parallel
        self._budget = limit
        self._queue: list[str | LaterCall] | None = None
        self._later: list[LaterCall] | None = None

    @property
    def is_open(self) -> bool:
        """What is read goes out at once."""
        return self._queue is None and self._later is None

    def wait_for_question(self) -> None:
        if self._queue is None:
            self._queue = []

    def wait_for_repair(self) -> None:
        if self._later is None:
            self._later = []

    def text(self, piece: str) -> None:
        if self._later is not None or self.asked_about:
            return
        if self._queue is not None:
            waits, piece = piece[: self._budget], piece[self._budget :]
            self._budget -= len(waits)
            self.asked_about = any(mark in waits for mark in _QUESTION)
            if waits and self._keep_text:
                self._queue.append(waits)
            if not piece or self.asked_about:
                return
            self._send_queue()
        if self._keep_text or not self.calls:
            self._sink.text(piece)

    def reasoning(self, piece: str) -> None:
        self._sink.reasoning(piece)

    def call(self, id: str, name: str, arguments: str) -> None:
        if not self._parallel and (self.calls or self._later is not None):
            return
        self.calls += 1
        call = LaterCall(id, name, arguments)
        fits = len(arguments) <= self._budget
        if self._later is None and self._queue is not None and not fits:
            self._send_queue()
        if self._later is None and self._queue is None:
            self._give(call)
        elif fits:
            self._budget -= len(arguments)
            (self._queue if self._later is None else self._later).append(call)  # type: ignore[union-attr]

    def open_call(self, id: str, name: str) -> None:
        self.calls += 1
        self.announced = True
        self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        if piece:
            self._sink.arguments(piece)

    def close_call(self) -> None:
        self.announced = False

    def finish(self, end: Finish) -> None:
        self._send_queue()
        self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        """A block that cannot be read ends the answer after what was read before it; any other failure at once."""
        if type(error) is ToolCallUnreadable:
            self._send_queue()
        self._sink.fail(error)

    def later(self) -> tuple[LaterCall, ...]:
        """The calls that were read after one that cannot be read."""
        return tuple(self._later or ())

    def examples(self, start: str, end: str) -> str:
        """The calls that wait, as blocks, up to ``WRITTEN_LIMIT`` characters."""
        calls = [call for call in self._queue or () if isinstance(call, LaterCall)]
        blocks = [f"{start}\n{call.name}\narguments: {call.arguments}\n{end}" for call in calls]
        return "\n".join(blocks)[:WRITTEN_LIMIT]

    def _send_queue(self) -> None:
        """Sends what waits for a question: none comes, or it waits too long."""
        queue, self._queue = self._queue, None
        for item in queue or ():
            if isinstance(item, str):
                self._sink.text(item)
            else:
                self._give(item)

    def _give(self, call: LaterCall) -> None:
        self._sink.call(call.id, call.name)
        if call.arguments:
            self._sink.arguments(call.arguments)
