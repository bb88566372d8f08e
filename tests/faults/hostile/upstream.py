"""An upstream that answers with bytes of its own making, whatever HTTP says of them."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket], None]
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
PATIENCE_S = 20


class Upstream:
    """Listens on ``url``. What is sent for a request is told by the script under its correlation id; ``asked`` keeps
    the heads of all requests."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(PATIENCE_S)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head, body = b"", b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            head, _, body = head.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            while length and len(body) < int(length[1]):
                body += connection.recv(65536)
            self.asked.append(head)
            named = re.search(rb"(?i)\r\ncorrelation-id: (\S+)", head)
            self.scripts[named[1].decode() if named else ""](connection)


def says(*pieces: bytes) -> Script:
    """Sends these and closes."""

    def script(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return script


def goes_on(start: bytes, piece: bytes, upto: int) -> Script:
    """Sends ``start``, then ``piece`` again and again, up to so many bytes: far more than anyone should take."""

    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(upto // len(piece)):
            connection.sendall(piece)

    return script


def chunked(*pieces: bytes) -> bytes:
    """Pieces framed as chunks, without the last one."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def fixed(status: str, body: bytes, *headers: str) -> bytes:
    """A whole response."""
    head = "\r\n".join([f"HTTP/1.1 {status}", *headers, f"content-length: {len(body)}", "connection: close"])
    return head.encode() + b"\r\n\r\n" + body


@contextlib.contextmanager
def hostile_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()
