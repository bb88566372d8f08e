"""``GET /``: a page to try a chat. It is one file, made ready when the application is made."""

import base64
import hashlib
import html
import re
from importlib.resources import files

from aiohttp import web

from proxy import __version__
from proxy.config import Config

_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def route(config: Config) -> web.RouteDef:
    body = _page(config)
    headers = {
        "content-security-policy": policy(body),
        "cache-control": "no-cache",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="text/html", headers=headers)

    return web.get("/", handle)


def policy(page: str) -> str:
    """Nothing but the page's own style and script, known by their digests, and requests to the proxy itself."""
    digests: dict[str, list[str]] = {"style": [], "script": []}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        digests[kind].append(f"'sha256-{digest}'")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(digests['script'])}",
            f"style-src {' '.join(digests['style'])}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _page(config: Config) -> str:
    page = files("proxy.server").joinpath("page.html").read_text(encoding="utf-8")
    told = {"header": config.correlation.header, "version": __version__}
    for name, value in told.items():
        page = page.replace(f"{{{{{name}}}}}", html.escape(value))
    return page
