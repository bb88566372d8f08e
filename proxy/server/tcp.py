"""What the kernel knows of a TCP connection."""

import asyncio
import socket
import sys

_BYTES_ACKED = slice(120, 128)
"""``tcpi_bytes_acked`` in Linux' ``struct tcp_info`` (linux/tcp.h), since 4.1."""


def acknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the peer's system has acknowledged; always 0 where that is not to be known."""
    if sys.platform != "linux":
        return 0
    try:
        info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.stop)
    except (OSError, AttributeError):  # it is closed
        return 0
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
