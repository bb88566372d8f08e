"""An Answer that notes what it is told, neighbouring pieces joined, so that cuts leave no trace."""

from proxy.core.answer import Finish
from proxy.errors import ProxyError

Told = list[tuple[str, ...]]


class Notes:
    def __init__(self) -> None:
        self.told: Told = []
        self.ids: list[str] = []
        self.finished: Finish | None = None
        self.error: ProxyError | None = None

    def text(self, piece: str) -> None:
        self._ended()
        assert piece, "an empty text is not worth a word"
        if self.told and self.told[-1][0] == "text":
            self.told[-1] = ("text", self.told[-1][1] + piece)
        else:
            self.told.append(("text", piece))

    def reasoning(self, piece: str) -> None:
        self._ended()
        assert piece, "an empty piece of reasoning"
        if self.told and self.told[-1][0] == "reasoning":
            self.told[-1] = ("reasoning", self.told[-1][1] + piece)
        else:
            self.told.append(("reasoning", piece))

    def call(self, id: str, name: str) -> None:
        self._ended()
        self.ids.append(id)
        self.told.append(("call", name, ""))

    def arguments(self, piece: str) -> None:
        self._ended()
        kind, name, so_far = self.told[-1]
        assert kind == "call", "arguments without a call"
        self.told[-1] = ("call", name, so_far + piece)

    def finish(self, end: Finish) -> None:
        self._ended()
        self.finished = end
        self.told.append(("finish", end.reason))

    def fail(self, error: ProxyError) -> None:
        self._ended()
        self.error = error
        self.told.append(("fail", str(error.code)))

    def _ended(self) -> None:
        assert self.finished is None, "told more after the finish"
        assert self.error is None, "told more after the failure"
