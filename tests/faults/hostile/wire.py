"""What a caller sends, byte by byte, and what comes back."""

import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

from tests.support.processes import Proxy

PATIENCE_S = 10
CHUNKED = "transfer-encoding: chunked"
BODY = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}).encode()
STREAM = json.dumps({"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()


@dataclass(frozen=True, slots=True)
class Told:
    """All that came back. ``closed`` says that the proxy has ended the connection, ``seconds`` when."""

    data: bytes
    closed: bool
    seconds: float

    @property
    def statuses(self) -> list[int]:
        return [int(found) for found in re.findall(rb"HTTP/\d\.\d (\d{3}) ", self.data)]

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode("latin-1").lower()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        assert {"message", "type", "param", "code"} == error.keys()
        return error


def request(
    *headers: str | bytes, line: str | bytes = "POST /v1/chat/completions HTTP/1.1", body: bytes = BODY
) -> bytes:
    """A request with these headers besides the usual ones; of ``content-length`` and the chunked coding it has what is
    given, or else a true length. With ``host`` or ``connection`` among the headers the usual one is left out."""
    given = [header if isinstance(header, bytes) else header.encode() for header in headers]
    names = {header.partition(b":")[0].lower() for header in given}
    usual = {b"host": b"x", b"correlation-id": b"hostile", b"connection": b"close"}
    lines = [line if isinstance(line, bytes) else line.encode()]
    lines += [name + b": " + value for name, value in usual.items() if name not in names]
    if not {b"content-length", b"transfer-encoding"} & names:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, *given]) + b"\r\n\r\n" + body


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def connected(proxy: Proxy) -> socket.socket:
    host, port = proxy.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def send(proxy: Proxy, data: bytes, *, then_close: bool = False) -> Told:
    """Sends ``data`` and reads until the proxy closes, or says nothing more for as long as the patience lasts."""
    started = time.monotonic()
    got, closed = b"", True
    with connected(proxy) as connection:
        try:
            connection.sendall(data)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                got += piece
        except TimeoutError:
            closed = False
        except OSError:  # a reset: the proxy has closed while something was still under way to it
            pass
    return Told(got, closed, time.monotonic() - started)
