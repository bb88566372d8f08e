"""A caller on a raw socket, who may leave at any time and in any way."""

import socket
import struct
import time
from typing import Any, Literal, Self

import orjson

from tests.support.chat import PATH, body

How = Literal["closes", "resets", "half-closes, then closes"]
HOWS: tuple[How, ...] = ("closes", "resets", "half-closes, then closes")


class Leaver:
    """One that has asked. ``rcvbuf`` shrinks what the kernel takes before it reads."""

    def __init__(
        self, url: str, correlation_id: str, *, rcvbuf: int | None = None, version: str = "1.1", **fields: Any
    ) -> None:
        host, port = url.removeprefix("http://").split(":")
        sent = orjson.dumps(body(**fields))
        lines = (
            f"POST {PATH} HTTP/{version}",
            "host: x",
            f"correlation-id: {correlation_id}",
            f"content-length: {len(sent)}",
        )
        self._socket = socket.socket()
        if rcvbuf is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self._socket.connect((host, int(port)))
        self._socket.settimeout(5)
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self, size: int = 2**20) -> bytes:
        """Whatever there is; waits for something."""
        return self._socket.recv(size)

    def read_until(self, mark: bytes) -> bytes:
        got = b""
        deadline = time.monotonic() + 5
        while mark not in got:
            assert time.monotonic() < deadline, got
            piece = self.read()
            assert piece, got
            got += piece
        return got

    def read_all(self) -> bytes:
        """All that comes until the proxy closes."""
        got = b""
        while piece := self.read():
            got += piece
        return got

    def half_close(self) -> None:
        """Sends nothing more, and goes on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def leave(self, how: How) -> None:
        if how == "half-closes, then closes":
            self.half_close()
        if how == "resets":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
