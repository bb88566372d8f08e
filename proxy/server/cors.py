"""Pages of other origins: those that are listed may call the proxy from a browser, all others may not."""

import re
from collections.abc import Awaitable, Callable, Container

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config import Config
from proxy.errors import OriginRefused

MAX_AGE_S = 600
_METHODS = "GET, POST"
_FROM_ELSEWHERE = frozenset({"cross-site", "same-site"})
_HEADERS = frozenset(
    {
        *("accept", "authorization", "cache-control", "content-type", "idempotency-key", "last-event-id"),
        *("openai-beta", "openai-organization", "openai-project", "traceparent", "tracestate", "user-agent"),
    }
)
_SDK_HEADER = re.compile(r"x-stainless-[a-z-]+")  # OpenAI's client for JavaScript tells its version by a dozen of these
_TOLD = (
    "x-request-id, x-proxy-upstream-model, x-proxy-ignored-params, x-proxy-usage, x-proxy-cache, x-should-retry, "
    "retry-after"
)

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def share(config: Config, inference: Container[str]) -> Middleware:
    """Answers preflights of listed origins. A browser's POST for a page of any other is refused: without a
    preflight it could still cost quota, though that page could not read the answer."""
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
        asks = request.method == "POST" and request.path in inference
        if asks and not listed and request.headers.get("Sec-Fetch-Site") in _FROM_ELSEWHERE:
            raise OriginRefused("pages of this origin may not call this proxy: list it in proxy.cors_origins")
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
    return request.headers.get("Origin", "")
