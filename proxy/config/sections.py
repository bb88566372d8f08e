"""``proxy`` and ``general_settings``: the sections of a file that are settings."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin

from proxy.config import litellm_keys
from proxy.config.api_keys import read_api_keys, read_master_key
from proxy.config.document import Node, at_least_one, positive, texts
from proxy.config.hosts import read_allowed_hosts, read_origins
from proxy.config.listeners import read_admin, read_tls
from proxy.config.notes import Notes
from proxy.config.settings import Cache, Config, Correlation, Limits, Quota, Timeouts, Tools

Section = TypeVar("Section", Timeouts, Limits, Tools, Quota, Cache)

_SECTIONS = ("correlation", "timeouts", "limits", "tools", "quota", "cache", "tls", "admin")
_NUMBERS = ("keepalive_s", "commit_after", "drain_timeout")
_READ_AS: dict[Any, Callable[[Node], Any]] = {
    bool: Node.flag,
    int: at_least_one,
    float: positive,
    tuple[str, ...]: texts,
}
_FLAGS = ("strict_params", "enforce_max_tokens", "validate_on_start", "page")
_FOLDERS = ("run_records", "capture")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_SOURCE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,3}")
_TAKEN = frozenset(
    {
        *("authorization", "x-api-key", "api-key", "cookie", "origin", "host", "connection"),
        *("content-length", "content-type", "transfer-encoding"),
    }
)


class SectionReader:
    """Reads sections onto a ``Config``."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def general(self, config: Config, node: Node | None) -> Config:
        if node is None:
            return config
        keys = node.fields(("master_key",), litellm_keys.GENERAL)
        self._notes.warn_foreign(node, litellm_keys.GENERAL)
        if "master_key" not in keys:
            return config
        return replace(config, master_key=read_master_key(self._notes, keys["master_key"]))

    def proxy(self, config: Config, node: Node | None) -> Config:
        if node is None:
            return config
        keys = node.fields((*_SECTIONS, *_NUMBERS, *_FLAGS, *_FOLDERS, "api_keys", "cors_origins", "allowed_hosts"))
        config = replace(
            config,
            correlation=self._correlation(keys.get("correlation")),
            timeouts=self._section(Timeouts(), keys.get("timeouts")),
            limits=self._section(Limits(), keys.get("limits")),
            tools=self._section(Tools(), keys.get("tools")),
            quota=self._section(Quota(), keys["quota"]) if "quota" in keys and keys["quota"].raw is not None else None,
            cache=self._section(Cache(), keys.get("cache")),
            tls=read_tls(self._notes, keys.get("tls")),
            admin=read_admin(self._notes, keys.get("admin")),
            api_keys=read_api_keys(self._notes, keys.get("api_keys")),
        )
        for key in _NUMBERS:
            config = self._notes.take(config, key, keys.get(key), Node.number)
        for key in _FLAGS:
            config = self._notes.take(config, key, keys.get(key), Node.flag)
        for key in _FOLDERS:
            config = self._notes.take(config, key, keys.get(key), Node.text)
        config = self._notes.take(config, "cors_origins", keys.get("cors_origins"), read_origins)
        return self._notes.take(config, "allowed_hosts", keys.get("allowed_hosts"), read_allowed_hosts)

    def _correlation(self, node: Node | None) -> Correlation:
        keys = node.fields(("header", "required", "also_accept")) if node else {}
        correlation = self._notes.take(Correlation(), "header", keys.get("header"), _header)
        correlation = self._notes.take(correlation, "required", keys.get("required"), Node.flag)
        return self._notes.take(correlation, "also_accept", keys.get("also_accept"), _sources)

    def _section(self, defaults: Section, node: Node | None) -> Section:
        """A section of plain values, each read as its default is."""
        kinds = {field.name: field.type for field in fields(defaults)}
        section = defaults
        for key, value in (node.fields(tuple(kinds)) if node else {}).items():
            section = self._notes.take(section, key, value, _reader(kinds[key]))
        return section


def _reader(kind: Any) -> Callable[[Node], Any]:
    """What reads a value of such a type: one of the words where it is a ``Literal``."""
    if get_origin(kind) is Literal:
        return lambda node: node.choice(*get_args(kind))
    return _READ_AS[kind]


def _header(node: Node) -> str | None:
    name = node.text()
    if name is not None and not _HEADER.fullmatch(name):
        raise node.error(f"a header's name is expected here, not {name!r}")
    if name is not None and name.lower() in _TAKEN:
        raise node.error(f"the header {name!r} has a meaning of its own")
    return name


def _sources(node: Node) -> tuple[str, ...]:
    """Names of headers and of fields of the body."""
    found = [(item, text) for item in node.items() if (text := item.text())]
    for item, text in found:
        if not _SOURCE.fullmatch(text):
            raise item.error(f"a header's name, or a field of the body such as metadata.session_id, not {text!r}")
        if text.lower() in _TAKEN:
            raise item.error(f"the header {text!r} has a meaning of its own")
    return tuple(text for _, text in found)
