"""Names under which a proxy without a key answers.

A page can let its own name resolve to the proxy's address (DNS rebinding). The browser then takes the proxy for a part
of that site, and the page can call it and read the answers. Only the name in the request shows it.
"""

from collections.abc import Iterator

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config import Config
from proxy.config.hosts import host_of, is_private
from proxy.config.names import matches
from proxy.errors import HostRefused
from proxy.server.ops import PROBES


def check_host(config: Config) -> Middleware:
    """Without a key, refuses requests under names that public DNS may know and that are not listed. Probes are
    answered under all names: load balancers use any, and the answers hold nothing."""

    def allowed(authority: str) -> bool:
        host = host_of(authority)
        return host is not None and (is_private(host) or any(matches(host, name) for name in config.allowed_hosts))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not config.has_keys and request.path not in PROBES:
            for authority in _authorities(request):
                if not allowed(authority):
                    raise HostRefused(
                        f"a proxy without a key does not answer under the public name {authority[:128]!r}: set "
                        "PROXY_API_KEY, or list the name in proxy.allowed_hosts"
                    )
        return await handler(request)

    return middleware


def target_authority(request: web.BaseRequest) -> str | None:
    """The authority of a target in absolute form (RFC 9112, 3.2.2), which counts before ``Host``; None in all other
    forms."""
    _, scheme_end, rest = request.raw_path.partition("://")
    if request.raw_path.startswith("/") or not scheme_end:
        return None
    return rest.partition("/")[0].partition("?")[0]


def _authorities(request: web.BaseRequest) -> Iterator[str]:
    """All names in a request. HTTP/1.0 allows none, and browsers always send one."""
    yield from request.headers.getall("Host", ())
    if (target := target_authority(request)) is not None:
        yield target
