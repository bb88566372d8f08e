"""Names under which a proxy may be reached: what is listed as ``proxy.allowed_hosts``, and the origins of its pages."""

import ipaddress
import re

from proxy.config.document import Node

_LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_AUTHORITY = re.compile(rf"(\[[^\[\]]+\]|{_LABELS})\.?(?::[0-9]*)?", re.ASCII | re.IGNORECASE)
_LISTED = re.compile(rf"(?:\*\.(?=[^.]+\.))?{_LABELS}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@*\s]+")
_PRIVATE = (".svc", ".cluster.local", ".internal", ".local", ".localhost")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def host_of(authority: str) -> str | None:
    """The host of a ``Host`` header or of a target's authority (RFC 9110, 7.2): in lower case, without port and
    trailing dot. None for anything else, such as one with user information."""
    found = _AUTHORITY.fullmatch(authority)
    return found[1].lower() if found else None


def is_private(host: str) -> bool:
    """Whether no public DNS server can answer for this host: an address, a name without a dot, or one below a domain
    that is reserved for private networks."""
    if host.startswith("["):
        return _is_address(host[1:-1])
    return "." not in host or host.endswith(_PRIVATE) or _is_address(host)


def without_default_port(scheme: str, authority: str) -> str:
    port = _DEFAULT_PORTS.get(scheme)
    return authority.removesuffix(port) if port else authority


def read_allowed_hosts(node: Node) -> tuple[str, ...]:
    """Names, or ``*.`` and a domain. Raises ``ConfigError`` for a URL, for a port, and for ``*`` alone or before a
    top-level domain, which anyone's names would match."""
    found = [(item, text.lower().removesuffix(".")) for item in node.items() if (text := item.text())]
    for item, text in found:
        if not _LISTED.fullmatch(text):
            raise item.error(f"a name such as llm.example.com or *.example.com is expected here, not {text!r}")
    return tuple(text for _, text in found)


def read_origins(node: Node) -> tuple[str, ...]:
    """As browsers send them: each listed by itself, since ``*`` would let any page use up the quota, and ``null`` is
    the origin of any page in a sandbox."""
    origins = []
    for item in node.items():
        text = "null" if item.raw is None else item.text()
        if text is None:
            continue
        text = text.rstrip("/").lower()
        if not _ORIGIN.fullmatch(text):
            raise item.error(f"an origin such as https://app.example.com is expected here, not {text!r}")
        scheme, _, authority = text.partition("://")
        origins.append(f"{scheme}://{without_default_port(scheme, authority)}")
    return tuple(origins)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
