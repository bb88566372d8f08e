"""aiohttp's connector, with a limit that it lacks: how often a server may say that its answer is still to come."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

INFORMATIONAL = 100
"""Answers of 1xx before a real one; aiohttp passes over any number, and queues them as fast as they come."""
SWITCHED = 101


class Connector(aiohttp.TCPConnector):
    """Should aiohttp come to make its protocols in another way, the limit is gone, and nothing else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        loop = asyncio.get_running_loop()
        self._factory: Any = partial(_Protocol, loop=loop)


class _Protocol(ResponseHandler):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._informational = 0

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        if not 100 <= data[0].code < 200 or data[0].code == SWITCHED:
            self._informational = 0
        else:
            self._informational += 1
        if self._informational <= INFORMATIONAL:
            super().feed_data(data, size)
        elif self._exception is None:
            self.set_exception(http_exceptions.BadHttpMessage("no end of informational answers"))
            if self.transport is not None:
                self.transport.abort()
