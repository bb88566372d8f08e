"""Reading a request's body within its limits."""

import asyncio

import aiohttp
from aiohttp import http_exceptions, web

from proxy.errors import BodyTooLarge, BodyTooSlow, BodyUnreadable


async def read_body(request: web.Request, timeout: float) -> bytes:
    """The whole body. Raises ``BodyTooLarge`` beyond the application's limit, ``BodyTooSlow`` after ``timeout``
    seconds, ``BodyUnreadable`` for one that is not what its headers say."""
    if request.content_length is not None and request.content_length > request.client_max_size:
        raise _too_large(request)
    try:
        async with asyncio.timeout(timeout):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except (web.RequestPayloadError, aiohttp.ClientPayloadError, http_exceptions.HttpProcessingError):
        raise BodyUnreadable("the body does not hold what its headers say") from None
    except TimeoutError:
        raise BodyTooSlow(f"the body did not arrive within {timeout:g} s") from None


def _too_large(request: web.Request) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {request.client_max_size / 2**20:g} MB allowed")
