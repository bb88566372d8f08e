"""Addresses and the certificates behind them: what makes one unusable, and how one is shown."""

import ssl
from urllib.parse import urlsplit

from proxy.config.document import Node

MASK = "********"


def masked(url: str) -> str:
    """A URL without the secrets it may hold: no user, no password, no query. Works on malformed ones as well."""
    scheme, colon, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    place, mark, _ = place.partition("?")
    return f"{scheme}{colon}{MASK + at if at else ''}{place}{mark + MASK if mark else ''}"


def fault_of_http(url: str) -> str | None:
    """What is wrong with the base URL of an upstream, not quoting it: it may be a secret in the wrong place."""
    if not url.startswith(("https://", "http://")) or not url.isprintable() or " " in url:
        return "a URL that begins with https:// or http:// is expected"
    if not _has_host(url):
        return "a URL with a host is expected, and a port that is a number if any"
    if "?" in url or "#" in url:
        return "a URL without ? and # is expected"
    if "@" in url:
        return "a URL without a user and a password is expected; a key goes into api_key"
    return None


def fault_of_redis(url: str) -> str | None:
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return "a URL that begins with redis://, rediss:// or unix:// is expected"
    if "@" in url.partition("://")[2].partition("/")[2] or not (url.startswith("unix") or _has_host(url)):
        return "redis://:PASSWORD@HOST:PORT/NUMBER is expected, with / ? # @ in the password written as %2F %3F %23 %40"
    return None


def base_url(node: Node | None) -> str | None:
    text = node.text() if node is not None else None
    if node is None or text is None:
        return None
    if fault := fault_of_http(text):
        raise node.error(fault)
    return text.rstrip("/")


def ssl_verify(node: Node | None) -> bool | str:
    """A flag, or the path of a bundle that can be read."""
    value = node.value() if node is not None else None
    if node is None or value is None:
        return True
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return bool(node.flag())
    try:
        ssl.create_default_context(cafile=str(value))
    except (OSError, ssl.SSLError) as error:
        raise node.error(f"the certificates in {value!r} cannot be used: {error}") from None
    return str(value)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
