"""Writes to callers, gathered over one turn of the event loop."""

import asyncio

MOST = 32
"""So many go out at once in any case, so that none waits for long: a token takes some hundredths of a millisecond."""


class Batch:
    """What is written while the loop deals with the reads of one turn goes out behind the last of them. Whoever reads
    on the same machine is then woken once and not for every token, and neither reading nor writing has to fetch its
    code into the processor's caches each time. Needs a running event loop."""

    __slots__ = ("_loop", "_writes")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._writes: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """``data`` becomes a chunk of HTTP/1.1. Before anything is written in another way, ``flush`` it."""
        writes = self._writes
        if not writes:
            self._loop.call_soon(self.flush)
        writes.append((transport, data))
        if len(writes) == MOST:
            self.flush()

    def flush(self) -> None:
        writes = self._writes
        if writes:
            self._writes = []
            for transport, data in writes:
                try:
                    if not transport.is_closing():
                        transport.write(b"%x\r\n%b\r\n" % (len(data), data))
                except RuntimeError:  # it takes no more: its answer has a hole, those of the others shall not
                    transport.abort()
