"""Pages in browsers: the proxy's own and those of listed origins may call the proxy, all others may not."""

import re
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config import Config
from proxy.config.hosts import without_default_port
from proxy.errors import OriginRefused
from proxy.server.hosts import target_authority
from proxy.server.keys import KEY_HEADERS
from proxy.server.ops import PROBES

MAX_AGE_S = 600
_METHODS = "GET, POST"
_FROM_ELSEWHERE = frozenset({"cross-site", "same-site"})
_HEADERS = frozenset(
    {
        *KEY_HEADERS,
        *("accept", "cache-control", "content-type", "idempotency-key", "last-event-id"),
        *("openai-beta", "openai-organization", "openai-project", "traceparent", "tracestate", "user-agent"),
    }
)
_SDK_HEADER = re.compile(r"x-stainless-[a-z-]+")  # OpenAI's client for JavaScript tells its version by a dozen of these
_TOLD = (
    "x-request-id, x-proxy-upstream-model, x-proxy-ignored-params, x-proxy-usage, x-proxy-cache, x-should-retry, "
    "retry-after"
)

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def share(config: Config) -> Middleware:
    """Refuses requests of pages that are neither listed nor the proxy's own, and answers preflights of listed ones.

    Without a preflight a page could spend quota although it cannot read the answer. Browsers send ``Origin`` with every
    POST and with every request that a page of another origin could read. ``Sec-Fetch-Site``, which they send to
    trustworthy URLs alone, also shows requests without an ``Origin``, such as those for images and scripts.
    """
    correlation = {config.correlation.header.lower(), *(header.lower() for header in config.correlation.also_accept)}

    def allowed(header: str) -> bool:
        return header in _HEADERS or header in correlation or _SDK_HEADER.fullmatch(header) is not None

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        listed = _origin(request) in config.cors_origins
        if request.method == "OPTIONS" and listed and "Access-Control-Request-Method" in request.headers:
            asked = request.headers.get("Access-Control-Request-Headers", "").lower().replace(" ", "").split(",")
            headers = {
                "access-control-allow-methods": _METHODS,
                "access-control-allow-headers": ", ".join(header for header in asked if allowed(header)),
                "access-control-max-age": str(MAX_AGE_S),
            }
            return web.Response(status=204, headers=headers)
        if not (listed or request.path in PROBES or _is_own(request)):
            origin = _origin(request)[:128] or "unknown"
            raise OriginRefused(f"pages of {origin!r} may not call this proxy: list that origin in proxy.cors_origins")
        return await handler(request)

    return middleware


def label_for_browsers(config: Config) -> Signal:
    """A signal: responses to pages of listed origins say that these may read them, errors and streams included."""
    told = f"{config.correlation.header}, {_TOLD}"

    async def signal(request: web.Request, response: web.StreamResponse) -> None:
        if not config.cors_origins:
            return
        response.headers["vary"] = "Origin"
        origin = _origin(request)
        if origin in config.cors_origins:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-expose-headers"] = told

    return signal


def _origin(request: web.Request) -> str:
    """The origin of the page that sends the request, empty for none. Several are one that is never listed."""
    return ", ".join(request.headers.getall("Origin", ()))


def _is_own(request: web.Request) -> bool:
    """Whether no page sends the request, or one of the proxy's own.

    A page's own requests have the ``Host`` that is in its ``Origin``. Where TLS ends at a front, the scheme is https
    there and http here, so it is compared only where the proxy itself speaks TLS.
    """
    if request.headers.get("Sec-Fetch-Site") in _FROM_ELSEWHERE and not _is_navigation(request):
        return False
    if "Origin" not in request.headers:
        return True
    scheme, _, page = _origin(request).lower().partition("://")
    if scheme not in (("https",) if request.secure else ("http", "https")):
        return False
    here = target_authority(request) or request.headers.get("Host") or ""
    return without_default_port(scheme, page) == without_default_port(scheme, here.lower()) != ""


def _is_navigation(request: web.Request) -> bool:
    """Whether a link or the address bar leads here: the page that has the link sees nothing of the answer."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
