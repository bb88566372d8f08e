"""``proxy``, ``general_settings`` and ``router_settings``: the sections of a file that are settings."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

from proxy.config import litellm_keys
from proxy.config.document import Node
from proxy.config.notes import Notes
from proxy.config.settings import Config, Correlation, Limits, Timeouts, Tools

Section = TypeVar("Section", Timeouts, Limits, Tools)
Settings = TypeVar("Settings", Config, Correlation, Timeouts, Limits, Tools)

_SECTIONS = ("correlation", "timeouts", "limits", "tools")
_NUMBERS = ("keepalive_s", "commit_after", "drain_timeout")
_FLAGS = ("strict_params", "enforce_max_tokens")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_TAKEN = frozenset(
    {"authorization", "connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
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
        if "master_key" in keys and keys["master_key"].text() is not None:
            self._notes.warn_of_literal(keys["master_key"])
        return self._with(config, "master_key", keys.get("master_key"), Node.text)

    def router(self, config: Config, node: Node | None) -> Config:
        keys = node.fields(("max_upstream_calls",)) if node else {}
        return self._with(config, "max_upstream_calls", keys.get("max_upstream_calls"), lambda found: found.number(1))

    def proxy(self, config: Config, node: Node | None) -> Config:
        if node is None:
            return config
        keys = node.fields((*_SECTIONS, *_NUMBERS, *_FLAGS))
        config = replace(
            config,
            correlation=self._correlation(keys.get("correlation")),
            timeouts=self._section(Timeouts(), keys.get("timeouts")),
            limits=self._section(Limits(), keys.get("limits")),
            tools=self._section(Tools(), keys.get("tools")),
        )
        for key in _NUMBERS:
            config = self._with(config, key, keys.get(key), Node.number)
        for key in _FLAGS:
            config = self._with(config, key, keys.get(key), Node.flag)
        return config

    def _correlation(self, node: Node | None) -> Correlation:
        keys = node.fields(("header", "required", "also_accept")) if node else {}
        correlation = self._with(Correlation(), "header", keys.get("header"), _header)
        correlation = self._with(correlation, "required", keys.get("required"), Node.flag)
        return self._with(correlation, "also_accept", keys.get("also_accept"), _sources)

    def _section(self, defaults: Section, node: Node | None) -> Section:
        """A section of numbers and flags, each read as its default is."""
        keys = node.fields(tuple(field.name for field in fields(defaults))) if node else {}
        section = defaults
        for key, value in keys.items():
            is_flag = isinstance(getattr(defaults, key), bool)
            section = self._with(section, key, value, Node.flag if is_flag else _positive)
        return section

    def _with(self, section: Settings, key: str, node: Node | None, read: Callable[[Node], Any]) -> Settings:
        value = read(node) if node is not None else None
        if node is None or value is None:
            return section
        self._notes.came_from(node)
        return replace(section, **{key: value})


def _header(node: Node) -> str | None:
    name = node.text()
    if name is not None and not _HEADER.fullmatch(name):
        raise node.error(f"a header's name is expected here, not {name!r}")
    if name is not None and name.lower() in _TAKEN:
        raise node.error(f"the header {name!r} has a meaning of its own")
    return name


def _positive(node: Node) -> float | None:
    return node.number(at_least=0.001)


def _sources(node: Node) -> tuple[str, ...]:
    """Headers, or the one place in the body."""
    found = [(item, text) for item in node.items() if (text := item.text())]
    for item, text in found:
        if text != "metadata.session_id" and not _HEADER.fullmatch(text):
            raise item.error(f"a header's name or metadata.session_id is expected here, not {text!r}")
    return tuple(text for _, text in found)
