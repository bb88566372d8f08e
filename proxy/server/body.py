"""Reading a request's body within its limits."""

import asyncio
import zlib

import aiohttp
from aiohttp import http_exceptions, web

from proxy.errors import BodyTooLarge, BodyTooSlow, BodyUnreadable, InvalidRequest
from proxy.server.admission import ADMITTED, Admitted

BODY = web.RequestKey("body", bytes)
"""The body of a request that was read."""

_ZLIB, _RAW, _GZIP = zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS + 16
_NOT_AS_SAID = "the body does not hold what its headers say"
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


async def read_body(request: web.Request, timeout: float) -> bytes:
    """Read the whole body of an admitted request and unpack it.

    A second call returns what the first has read. Raises ``BodyTooLarge`` beyond the application's limit, packed or
    not, ``TooManyStreams`` when the bodies of all requests are over their budget, and ``BodyTooSlow`` after
    ``timeout`` seconds.
    """
    if BODY not in request:
        request[BODY] = await _read(request, timeout, request[ADMITTED])
    return request[BODY]


async def _read(request: web.Request, timeout: float, admitted: Admitted) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_WINDOWS):
        raise InvalidRequest(f"content-encoding: only {', '.join(_WINDOWS)} are known here", param="content-encoding")
    if request.content_length is not None:
        if request.content_length > request.client_max_size:
            raise _too_large(request)
        admitted.check(request.content_length)
    try:
        async with asyncio.timeout(None if request.content.is_eof() else timeout):  # it may have come with its head
            body = await _whole(request, admitted)
    except (web.RequestPayloadError, aiohttp.ClientPayloadError, http_exceptions.HttpProcessingError):
        raise BodyUnreadable(_NOT_AS_SAID) from None
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {timeout:g} s") from None
    if encoding not in _WINDOWS:
        return body
    unpacked = _unpacked(request, body, _WINDOWS[encoding])
    admitted.hold(max(len(unpacked) - len(body), 0))
    return unpacked


async def _whole(request: web.Request, admitted: Admitted) -> bytes:
    body = bytearray()
    while piece := await request.content.readany():
        if len(body) + len(piece) > request.client_max_size:
            raise _too_large(request)
        admitted.hold(len(piece))
        body += piece
    return bytes(body)


def _unpacked(request: web.Request, body: bytes, window: int) -> bytes:
    """Never more than one byte beyond the limit is made of it."""
    if window == _ZLIB and body[:1] and body[0] & 15 != zlib.DEFLATED:  # what some call deflate lacks its wrapping
        window = _RAW
    inflater = zlib.decompressobj(window)
    try:
        unpacked = inflater.decompress(body, request.client_max_size + 1)
    except zlib.error:
        raise _not_as_said() from None
    if len(unpacked) > request.client_max_size:
        raise _too_large(request)
    if not inflater.eof or inflater.unused_data:
        raise _not_as_said()
    return unpacked


def _not_as_said() -> InvalidRequest:
    return InvalidRequest(_NOT_AS_SAID)


def _too_large(request: web.Request) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {request.client_max_size / 2**20:g} MB allowed")
