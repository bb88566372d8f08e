"""What the kernel knows of a TCP connection."""

import asyncio
import socket
import sys
from contextlib import suppress

_STATE = 0
_BYTES_ACKED = slice(120, 128)
"""``tcpi_state`` and ``tcpi_bytes_acked`` in Linux' ``struct tcp_info`` (linux/tcp.h), since 4.1."""
_CLOSED = (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT


def acknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the peer's system has acknowledged; always 0 where that is not to be known."""
    return int.from_bytes(_info(transport)[_BYTES_ACKED], sys.byteorder)


def closed_by_peer(transport: asyncio.Transport) -> bool:
    """The peer has sent FIN or RST, whether or not anything was read since; False where that is not to be known."""
    return _info(transport)[_STATE] in _CLOSED


def _info(transport: asyncio.Transport) -> bytes:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # it is closed
            tcp: socket.socket = transport.get_extra_info("socket")
            return tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
    return bytes(_BYTES_ACKED.stop)
