"""aiohttp's client side. Every exception of its own becomes one of ``proxy.errors`` here and nowhere else."""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import http_exceptions

from proxy import __version__
from proxy.dispatch.connector import Connector, StaleConnection, fresh_connection
from proxy.dispatch.handover import FITS, Handover
from proxy.dispatch.slices import SLICE
from proxy.errors import (
    ConnectTimeout,
    ProxyError,
    UpstreamBroken,
    UpstreamDisconnected,
    UpstreamTLS,
    UpstreamTruncated,
    UpstreamUnreachable,
)

READ_BUFFER = 64 * 1024  # bytes held for a caller that does not keep up, before the upstream is paused
CLOSING_S = 0.25
"""How long an upstream may take to end its response behind the answer's end, for its connection to be kept."""
REFUSAL_LIMIT = 64 * 1024


class Tap(Protocol):
    """Listens in on a reply."""

    def answered(self, status: int, headers: Mapping[str, str]) -> None: ...
    def received(self, data: bytes) -> None:
        """Whatever one read brought; empty at a clean end."""

    def broke_off(self) -> None: ...
    def closed(self, *, settled: bool) -> None:
        """Nothing more comes; ``settled`` says that the answer was over."""


class Reply:
    """An upstream's response whose headers have come. It is a context that closes it, as ``close`` does: one that was
    read to its end gives its connection back."""

    def __init__(self, response: aiohttp.ClientResponse, closing: set[asyncio.Task[None]]) -> None:
        self._closing = closing
        self._settling: asyncio.Task[None] | None = None
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._content = response.content
        self._settled = False
        self._tap: Tap | None = None
        connection = response.connection
        self._lost = connection.protocol.closed if connection is not None and connection.protocol is not None else None
        if self._lost is not None:
            self._lost.remove_done_callback(_retrieve)  # once for each connection, however often it is used
            self._lost.add_done_callback(_retrieve)
            self._lost.add_done_callback(self._break_off)

    def listen(self, tap: Tap) -> None:
        """``tap`` is told of everything; to be called before anything is read."""
        self._tap = tap
        tap.answered(self.status, self.headers)

    async def read(self) -> bytes:
        """What has arrived, at least one byte and at most a slice; empty at a clean end. Raises ``UpstreamTruncated``
        when the connection breaks, after everything that came before has been handed over; ``UpstreamBroken`` for what
        cannot be uncompressed."""
        try:
            data = await self._content.read(SLICE)
            if len(data) == SLICE:
                await asyncio.sleep(0)  # there may be more, and that does not wait
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and (self._lost is None or not self._lost.done()):
                raise  # otherwise aiohttp was just about to wait for a connection that is gone
            content = self._content  # aiohttp raises before it gives out what it still holds
            data = b"".join(content._buffer)[content._buffer_offset :]  # noqa: SLF001
            content._buffer.clear()  # noqa: SLF001
            content._buffer_offset = 0  # noqa: SLF001 - of the first piece, so much was read
            if not data:
                if self._tap is not None:
                    self._tap.broke_off()
                if isinstance(error.__cause__, http_exceptions.ContentEncodingError):
                    raise UpstreamBroken("the upstream's answer is not compressed as it says") from None
                raise UpstreamTruncated(
                    "the connection to the upstream broke off in the middle of its answer"
                ) from None
        if self._tap is not None:
            self._tap.received(data)
        return data

    async def hand_on(self, take: Callable[[bytes], bool]) -> None:
        """Has ``take`` called with whatever arrives, until it returns False; returns as well when only ``read``
        can tell what follows: at the end, at a break, or where this cannot be done."""
        if FITS:
            await Handover(self._response, self._overheard(take)).run()

    async def read_limited(self, limit: int = REFUSAL_LIMIT) -> bytes:
        """The body up to ``limit`` bytes; what breaks off is left out."""
        body = b""
        try:
            while len(body) < limit and (piece := await self.read()):
                body += piece
        except (UpstreamTruncated, UpstreamBroken):
            pass
        return body[:limit]

    def settle(self) -> None:
        """The answer is over: what is left of the response, normally nothing, is read in the background, so that
        its connection can be used again. ``close`` then has nothing more to do."""
        self._settled = True
        if not self._content.at_eof():
            self._settling = asyncio.create_task(self._read_to_end())
            self._closing.add(self._settling)
            self._settling.add_done_callback(self._closing.discard)

    def close(self) -> None:
        if self._settling is None:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _overheard(self, take: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        tap = self._tap
        if tap is None:
            return take

        def tapped(data: bytes) -> bool:
            tap.received(data)
            return take(data)

        return tapped

    def _break_off(self, _: asyncio.Future[None]) -> None:
        """The connection is gone. Where that is because its framing made no sense, aiohttp has closed it without a
        word to who waits for the rest of the body."""
        content = self._content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("broken off"))

    def _release(self) -> None:
        if self._lost is not None:
            self._lost.remove_done_callback(self._break_off)
        self._response.release()  # closes the connection unless the response was read to its end
        if self._tap is not None:
            self._tap.closed(settled=self._settled)

    async def _read_to_end(self) -> None:
        try:
            async with asyncio.timeout(CLOSING_S):
                while await self.read():
                    pass
        except (TimeoutError, UpstreamTruncated, UpstreamBroken):
            pass
        finally:
            self._release()


def _retrieve(lost: asyncio.Future[None]) -> None:
    """A connection that is lost while nobody uses it is nobody's failure."""
    if not lost.cancelled():
        lost.exception()


class Transport:
    """A pool of connections. ``connect_timeout`` is in seconds; other time-outs are the caller's matter."""

    def __init__(self, connect_timeout: float) -> None:
        self._closing: set[asyncio.Task[None]] = set()
        self._session = aiohttp.ClientSession(
            connector=Connector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"stackspot-proxy/{__version__}"},
            read_bufsize=READ_BUFFER,
        )
        self.limit(connect_timeout)

    def limit(self, connect_timeout: float) -> None:
        """From now on a connection may take so long."""
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, tls: ssl.SSLContext | bool = True) -> Reply:
        """Sends a POST; returns once the response's headers are there. Redirects are not followed. ``tls`` is how
        the server's certificate is checked, True being the system's store. A request that met a stale connection is
        sent once more on a new one."""
        return await self._request("POST", url, headers, body, tls)

    async def get(self, url: str, headers: Mapping[str, str], tls: ssl.SSLContext | bool = True) -> Reply:
        """The same with a GET."""
        return await self._request("GET", url, headers, None, tls)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, tls: ssl.SSLContext | bool
    ) -> Reply:
        try:
            try:
                response = await self._send(method, url, headers, body, tls)
            except StaleConnection:
                with fresh_connection():
                    response = await self._send(method, url, headers, body, tls)
        except (aiohttp.ClientError, OSError) as error:
            raise _told(error, urlsplit(url).netloc) from None
        return Reply(response, self._closing)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, tls: ssl.SSLContext | bool
    ) -> aiohttp.ClientResponse:
        return await self._session.request(
            method,
            url,
            headers=headers,
            data=body,
            timeout=self._timeout,
            allow_redirects=False,
            ssl=tls,
            proxy=_proxy_for(url),
        )

    async def settled(self) -> None:
        """Returns when the responses of all answers that are over have ended, or have been given up."""
        if self._closing:
            await asyncio.wait(set(self._closing))

    async def close(self) -> None:
        for task in self._closing:
            task.cancel()
        if self._closing:
            await asyncio.wait(self._closing)
        await self._session.close()


@lru_cache(maxsize=256)
def _proxy_for(url: str) -> str | None:
    """What HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of an address. aiohttp's own reading of them would also take
    credentials out of a .netrc, in place of ours."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _told(error: aiohttp.ClientError | OSError, host: str) -> ProxyError:
    """What it means that a request to ``host`` was not answered. The reason names it, the message does not."""
    reason = _reason(error)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            hint = (
                "set ssl_verify (or the variable SSL_CERT_FILE, for all) to the path of its issuer's certificates, or "
                "ssl_verify to false to do without it"
            )
            return UpstreamTLS(
                f"the certificate of the upstream is not trusted; {hint}",
                reason=f"the certificate of {host} is not trusted: {reason}; {hint}",
            )
        case aiohttp.ClientSSLError() | ssl.SSLError():
            hint = "; does it speak http:// instead?" if reason == "WRONG_VERSION_NUMBER" else ""
            return UpstreamTLS(
                "no TLS connection to the upstream", reason=f"no TLS connection to {host}: {reason}{hint}"
            )
        case aiohttp.ConnectionTimeoutError() | aiohttp.ServerTimeoutError():
            return ConnectTimeout(
                "the upstream did not accept a connection in time",
                reason=f"{host} did not accept a connection in time",
            )
        case aiohttp.ClientProxyConnectionError():
            return UpstreamUnreachable(
                "no connection to the HTTP proxy on the way to the upstream",
                reason=f"no connection to the HTTP proxy on the way to {host}: {reason}; "
                "check HTTPS_PROXY and NO_PROXY",
            )
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("no connection to the upstream", reason=f"no connection to {host}: {reason}")
        case aiohttp.ClientHttpProxyError():
            return UpstreamUnreachable(
                f"the HTTP proxy on the way to the upstream answered {error.status}",
                reason=f"the HTTP proxy on the way to {host} answered {error.status}; check HTTPS_PROXY and NO_PROXY",
            )
        case aiohttp.ClientResponseError():  # its own words hold the whole address
            return UpstreamBroken(
                "the upstream answered with something that is no HTTP",
                reason=f"{host} answered with something that is no HTTP",
            )
    return UpstreamDisconnected(
        "the upstream closed the connection without an answer",
        reason=f"{host} closed the connection without an answer: {reason}",
    )


def _reason(error: Exception) -> str:
    """In few words. What aiohttp says of a connection repeats its address, names Python's objects, and may quote the
    head of a response that broke off."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    if isinstance(cause, ssl.SSLError):
        return getattr(cause, "verify_message", "") or cause.reason or type(cause).__name__
    if isinstance(cause, OSError) and cause.errno:
        return str(cause.strerror) if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
    return type(cause).__name__
