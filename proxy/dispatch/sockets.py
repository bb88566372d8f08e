"""What the kernel knows of a TCP connection, and asyncio does not tell."""

import asyncio
import fcntl
import select
import socket
import struct
import sys
import termios

_RESET = struct.pack("ii", 1, 0)  # closing with a linger time of zero sends RST and drops what was not sent


def has_unread(transport: asyncio.Transport) -> bool:
    """Bytes, or the end of the connection, have arrived and were not read yet."""
    poll = select.poll()
    poll.register(_descriptor(transport), select.POLLIN)
    return bool(poll.poll(0))


def all_received(transport: asyncio.Transport) -> bool:
    """The peer has acknowledged all that was written to ``transport``.

    A response to a whole request always comes with that acknowledgement, or after it (RFC 9293, section 3.4). True
    where the kernel does not count what is on its way: Linux does (``SIOCOUTQ``, tcp(7)).
    """
    if transport.get_write_buffer_size():
        return False
    try:
        queued = fcntl.ioctl(_descriptor(transport), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return True
    return not int.from_bytes(queued, sys.byteorder)


def reset(transport: asyncio.Transport) -> None:
    """Close at once; what the kernel has not sent yet is dropped."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _descriptor(transport: asyncio.Transport) -> int:
    descriptor: int = transport.get_extra_info("socket").fileno()
    return descriptor
