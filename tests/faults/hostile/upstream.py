"""An upstream on raw sockets, with or without TLS, that keeps its connections and sends what a script says."""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import orjson

from tests.support.provider.certificate import self_signed

PATIENCE_S = 20
RECEIVE_BUFFER = 16 * 1024
CLOSE, RESET = b"<close>", b"<reset>"
"""A script that sends this ends the connection."""
TOKEN = "planted-token-of-a-login"


@dataclass(eq=False)
class Request:
    """One request. ``connection`` numbers the connections, ``number`` the requests of one, both from 0."""

    socket: socket.socket
    head: bytes
    read: bytes
    connection: int
    number: int

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def is_login(self) -> bool:
        return self.path.endswith("/oidc/oauth/token")

    @cached_property
    def id(self) -> str:
        found = re.search(rb"(?i)\r\ncorrelation-id: (\S+)", self.head)
        return found[1].decode() if found else ""

    @cached_property
    def body(self) -> bytes:
        """All of it; reads it the first time."""
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", self.head)
        body = self.read
        while length and len(body) < int(length[1]):
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("the proxy left within its request")
            body += piece
        return body

    @property
    def was_read(self) -> bool:
        """Its body has been read, whole."""
        return "body" in vars(self)

    @property
    def text(self) -> str:
        """What this caller alone may be told."""
        return f"private answer of {self.id}"

    def response(self) -> bytes:
        """The right response, whole."""
        if self.is_login:
            return fixed("200 OK", orjson.dumps({"access_token": TOKEN, "expires_in": 1199}))
        if self.path.endswith("/chat"):
            end = {"message": "", "stop_reason": "stop", "tokens": {"input": 3, "output": 3}}
            return events({"message": self.text}, end)
        if orjson.loads(self.body).get("stream"):
            delta, end = {"delta": {"content": self.text}}, {"delta": {}, "finish_reason": "stop"}
            return events(*({"id": "c", "model": "m", "choices": [{"index": 0} | choice]} for choice in (delta, end)))
        message = {"role": "assistant", "content": self.text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return fixed("200 OK", orjson.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": choices}))


Script = Callable[[Request], Iterator[bytes | float]]
"""What is sent for a request, in turn; a float is a pause in seconds."""


def whole(request: Request) -> Iterator[bytes | float]:
    """Reads the request, sends the response."""
    _ = request.body
    yield request.response()


@dataclass
class Upstream:
    """Listens on ``url``. A request is answered by the script under its correlation id, else by ``script``.

    ``requests`` are those whose head was read. ``connections`` counts those that were opened, ``closed`` has the
    numbers of those that have ended.
    """

    tls: ssl.SSLContext | None = None
    script: Script = whole
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # those accepted inherit it
        self._finished = 0
        self._changed = threading.Condition()
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def of(self, id: str) -> list[Request]:
        """The requests with this correlation id."""
        return [request for request in self.requests if request.id == id]

    def wait_scripts(self) -> None:
        """Returns when all scripts have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._finished == len(self.requests), PATIENCE_S)

    def wait_closed(self, *connections: int) -> None:
        """Returns when these have ended, which the proxy must see to well before the upstream gives up itself."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.closed.issuperset(connections), PATIENCE_S / 4)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                number, self.connections = self.connections, self.connections + 1
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with contextlib.suppress(OSError):
                connection.settimeout(PATIENCE_S)
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                count = 0
                while self._exchange(connection, number, count):
                    count += 1
        finally:
            connection.close()
            with self._changed:
                self.closed.add(number)
                self._changed.notify_all()

    def _exchange(self, connection: socket.socket, number: int, count: int) -> bool:
        """One request; whether another may follow."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, read = data.partition(b"\r\n\r\n")
        request = Request(connection, head, read, number, count)
        self.requests.append(request)
        try:
            for step in self.scripts.get(request.id, self.script)(request):
                if isinstance(step, float):
                    time.sleep(step)
                elif step in (CLOSE, RESET):
                    if step == RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                else:
                    connection.sendall(step)
        finally:
            with self._changed:
                self._finished += 1
                self._changed.notify_all()
        return True


def fixed(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole response with a length."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers, f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def events(*values: object) -> bytes:
    """A whole response of events, each in a chunk of its own."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = [b"data: " + orjson.dumps(value) + b"\n\n" for value in values] + [b"data: [DONE]\n\n"]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@contextlib.contextmanager
def upstream_of(folder: Path | None = None) -> Iterator[Upstream]:
    """An upstream; with a folder for its certificate it speaks TLS."""
    context = None
    if folder is not None:
        certificate = self_signed(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
    upstream = Upstream(context)
    try:
        yield upstream
    finally:
        upstream.close()
