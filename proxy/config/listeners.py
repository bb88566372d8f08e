"""``proxy.tls`` and ``proxy.admin``: how callers reach the proxy, and how operators do."""

import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

from proxy.config.document import Node
from proxy.config.notes import Notes
from proxy.config.settings import Admin, Config, Tls


def read_tls(notes: Notes, node: Node | None) -> Tls | None:
    """Raises ``ConfigError`` for files that cannot be served with."""
    keys = node.fields(("cert", "key")) if node is not None else {}
    if node is None or not keys:
        return None
    paths = {part: keys[part].text() if part in keys else None for part in ("cert", "key")}
    for part, path in paths.items():
        if path is None:
            unset = f": {keys[part].variable} is not set" if part in keys and keys[part].variable else ""
            raise node.error(f"{part} is missing{unset}")
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise keys[part].error(f"{path} cannot be read: {error.strerror}") from None
        notes.came_from(keys[part])
    tls = Tls(str(paths["cert"]), str(paths["key"]))
    try:
        certified(tls)
    except (ssl.SSLError, ValueError, OSError) as error:
        fault = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
        raise node.error(f"{tls.cert} and {tls.key} cannot be served with: {fault}") from None
    return tls


def certified(tls: Tls) -> ssl.SSLContext:
    """What serves with these files."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(tls.cert, tls.key, password="")  # or a locked key would be asked for at the terminal
    return context


def unprotected(config: Config) -> Iterator[tuple[str, str]]:
    """The settings of addresses that other machines may reach while callers need no key, each with a warning."""
    if config.has_keys:
        return
    hosts = {"PROXY_HOST": config.host}
    if config.admin is not None:
        hosts["proxy.admin.host"] = config.admin.host
    for setting, host in hosts.items():
        if not _is_loopback(host):
            yield (
                setting,
                f"the proxy listens on {host or 'all addresses'} and asks for no key: whoever reaches it can spend the "
                "accounts' quota. Set PROXY_API_KEY, or let it listen on 127.0.0.1",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or nothing, which is all addresses
        return host.lower() == "localhost"


def read_admin(notes: Notes, node: Node | None) -> Admin | None:
    keys = node.fields(("host", "port")) if node is not None else {}
    if node is None or not keys:
        return None
    port = keys["port"].count() if "port" in keys else None
    if port is None:
        raise node.error("port is missing")
    if port > 65535:
        raise keys["port"].error("a port is between 0 and 65535")
    host = keys["host"].text() if "host" in keys else None
    for given in keys.values():
        notes.came_from(given)
    return Admin(port, host) if host else Admin(port)
