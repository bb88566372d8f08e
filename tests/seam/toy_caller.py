"""A toy dialect of callers: a text comes in, and the answer goes out in lines.

``+ text``, ``> name arguments`` for a call, then ``. reason`` or ``! code``. A first line ``stream`` in the
request asks for lines as they come.
"""

from proxy.core.answer import Finish, Rendering
from proxy.core.call import Call, UserText
from proxy.core.dialect import Refusal
from proxy.errors import InvalidRequest, ProxyError


class ToyCaller:
    routes = ("/toy",)
    correlated = True

    def read(self, body: bytes, id: str, created: int) -> Call:
        head, _, text = body.decode().rpartition("\n")
        if not text:
            raise InvalidRequest("the text is empty", param="text")
        return Call(id, created, "toy-model", "", (UserText(text),), stream=head == "stream")

    def stream(self, call: Call) -> Rendering:
        return ToyAnswer(streamed=True)

    def whole(self, call: Call) -> Rendering:
        return ToyAnswer(streamed=False)

    def refuse(self, error: ProxyError) -> Refusal:
        return Refusal(error.status, {"content-type": "text/plain"}, f"! {error.code}\n".encode())


class ToyAnswer:
    def __init__(self, *, streamed: bool) -> None:
        self.chunks = 0
        self._streamed = streamed
        self._lines: list[str] = []
        self._over = False

    def text(self, piece: str) -> None:
        self._line(f"+ {piece}")

    def reasoning(self, piece: str) -> None:
        self._line(f"~ {piece}")

    def call(self, id: str, name: str) -> None:
        self._line(f"> {name} ")

    def arguments(self, piece: str) -> None:
        self._lines[-1] += piece

    def finish(self, end: Finish) -> None:
        self._over = True
        self._line(f". {end.reason}")

    def fail(self, error: ProxyError) -> None:
        self._line(f"! {error.code}")

    def take(self) -> bytes:
        if not (self._streamed or self._over):
            return b""
        out = "".join(f"{line}\n" for line in self._lines)
        self._lines.clear()
        return out.encode()

    def _line(self, line: str) -> None:
        self._lines.append(line)
        self.chunks += 1
