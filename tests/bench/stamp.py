"""The time from a request's last byte to the upstream's first, which the upstream tells in its answer: all processes
read one clock. With a plain blocking socket, since only that says when the last byte has gone."""

import re
import socket
import time

from tests.bench.client import OK, next_id
from tests.bench.wire import LAST_CHUNK, Target

WAIT_S = 20
_STAMP = re.compile(rb"~ (\d+\.\d{6})")


class Line:
    """One keep-alive connection."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = socket.create_connection(("127.0.0.1", target.port), timeout=WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> float:
        """Seconds; negative for a server that passes on what it has before it has all."""
        self._socket.sendall(self._target.request(next_id()))
        sent = time.monotonic()
        answer = b""
        while not answer.endswith(LAST_CHUNK):
            piece = self._socket.recv(65536)
            if not piece:
                break
            answer += piece
        stamp = _STAMP.search(answer)
        if stamp is None or not answer.startswith(OK):
            raise RuntimeError(f"{self._target.name} answered with {answer[:300]!r}")
        return float(stamp[1]) - sent
