"""Accept callers' connections: where, how many, and what happens when none can be accepted."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from proxy.server.connection import Connection

BACKLOG = 1024
ACCEPTS_PER_TURN = 64
"""Connections accepted before the event loop serves those that are there."""
RETRY_S = 0.5
UNSENT_LIMIT = 128 * 1024
"""Bytes of one answer that the kernel takes before its first is on the wire. Without a limit it takes up to 4 MB
(``tcp_wmem``) and asks for more only when a third is free, so that a slow reader looks like one that has stopped."""
TLS_SHUTDOWN_S = 5.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class AcceptObserver(Protocol):
    def connection_refused(self) -> None:
        """A connection was closed unread: there are too many."""

    def accept_failed(self, reason: str) -> None:
        """The system has no descriptor or memory for another connection."""


class Acceptor:
    """Accept connections on one address until closed.

    ``limit`` is the number of connections at a time. ``reserve`` more are accepted for probes and marked ``reserved``.
    Every one above is closed at once. ``patience`` is how long a TLS handshake may take, in seconds.
    """

    def __init__(
        self,
        connect: Callable[..., Connection],
        observer: AcceptObserver,
        *,
        limit: Callable[[], int],
        reserve: int,
        tls: ssl.SSLContext | None,
        patience: Callable[[], float],
    ) -> None:
        self.open = 0
        """Connections of now, TLS handshakes included."""
        self._connect = connect
        self._observer = observer
        self._limit = limit
        self._reserve = reserve
        self._tls = tls
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._connecting: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Accept connections at every address of ``host``; the port, a free one for 0. Raises ``OSError``."""
        self._sockets = await bind(host, port)
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)
        taken: int = self._sockets[0].getsockname()[1]
        return taken

    def close(self) -> None:
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for task in self._connecting:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, _ = listening.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(listening, error)
                return  # nobody waits, or who did has gone; accept(2) names a dozen errors for that
            limit = self._limit()
            if self.open >= limit + self._reserve:
                accepted.close()
                self._observer.connection_refused()
                continue
            accepted.setblocking(False)
            connection = self._connect(reserved=self.open >= limit, on_lost=self._lost)
            self.open += 1
            task = self._loop.create_task(self._open(accepted, connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        patience = self._patience()
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=min(patience, connection.head_timeout),
                    ssl_shutdown_timeout=TLS_SHUTDOWN_S,
                )
        except OSError:  # no TLS, none in time, or gone already
            accepted.close()
        finally:
            if not connection.made:
                self._lost()

    def _lost(self) -> None:
        self.open -= 1

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Leave those who wait to the kernel's queue for a while, or every turn of the loop would fail anew."""
        self._observer.accept_failed(os.strerror(error.errno or 0))
        self._loop.remove_reader(listening)
        self._loop.call_later(RETRY_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)


async def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for every address of ``host`` that this machine has. Raises ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    failure = OSError(errno.EADDRNOTAVAIL, f"there is no address for {host!r}")
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            failure = OSError(error.errno, f"cannot listen on {host} port {port}: {reason}")
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a name may have addresses without IPv6
                for bound in sockets:
                    bound.close()
                raise failure from None
    if not sockets:
        raise failure
    return sockets


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    """Callers' sockets inherit the options."""
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LIMIT)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
