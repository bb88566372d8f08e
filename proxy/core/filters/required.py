"""A call that has to come: ``tool_choice`` of ``required`` or of a named tool."""

from collections.abc import Collection

from proxy.core.answer import Answer, Finish
from proxy.errors import ProxyError, ToolChoiceNotMet

SHOWN = 4096
"""Of an answer without a call, the model is shown so many characters at most."""


class RequiredCall:
    """An Answer that passes on no text, for none was asked for, and fails when it finishes without a call of one
    of ``names``."""

    __slots__ = ("_met", "_names", "_passing", "_said", "_sink")

    def __init__(self, sink: Answer, names: Collection[str]) -> None:
        self._sink = sink
        self._names = names
        self._passing = False
        self._met = False
        self._said = ""

    def text(self, piece: str) -> None:
        self._said += piece[: SHOWN - len(self._said)]

    def reasoning(self, piece: str) -> None:
        self._sink.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        self._passing = name in self._names
        if self._passing:
            self._met = True
            self._sink.call(id, name)

    def arguments(self, piece: str) -> None:
        if self._passing:
            self._sink.arguments(piece)

    def finish(self, end: Finish) -> None:
        if self._met or end.reason in ("length", "content_filter"):
            self._sink.finish(end)
        else:
            fault = f"no call of {' or '.join(self._names)}"
            message = "the model was to call a tool and did not"
            self._sink.fail(ToolChoiceNotMet(message, written=self._said or "(nothing)", fault=fault))

    def fail(self, error: ProxyError) -> None:
        self._sink.fail(error)
