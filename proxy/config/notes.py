"""What is noted while a configuration is read: where values came from, and what its user should hear of."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from proxy.config.document import Node
from proxy.config.environment import Environment
from proxy.config.settings import Cache, Config, Correlation, Limits, Quota, Routing, Timeouts, Tools

Settings = TypeVar("Settings", Config, Correlation, Timeouts, Limits, Tools, Quota, Routing, Cache)


class Notes:
    """``origins`` is by the path of a setting."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.warnings: list[str] = []
        self.origins: dict[str, str] = {}

    def take(self, settings: Settings, key: str, node: Node | None, read: Callable[[Node], Any]) -> Settings:
        """``settings`` with what ``read`` makes of ``node``; as they are when there is nothing."""
        value = read(node) if node is not None else None
        if node is None or value is None:
            return settings
        self.came_from(node)
        return replace(settings, **{key: value})

    def came_from(self, node: Node) -> None:
        """The value of ``node`` is used."""
        self.origins[node.path] = self.environment.origin(node.variable) if node.variable else node.where

    def variable(self, path: str, name: str) -> str | None:
        """The value of an environment variable for the setting ``path``, noted if there is one."""
        value = self.environment(name)
        if value is not None:
            self.origins[path] = self.environment.origin(name)
        return value

    def variables(self, prefix: str) -> dict[str, str]:
        """All variables whose names begin with ``prefix``, each a setting under its own name."""
        found = self.environment.beginning(prefix)
        self.origins |= {name: self.environment.origin(name) for name in found}
        return found

    def warn_of_literal(self, node: Node) -> None:
        """``node`` holds a secret: it should not stand in a file."""
        if node.variable is None:
            self.warnings.append(f"{node.where}: {node.path}: a secret stands in the file; use os.environ/NAME")

    def warn_foreign(self, node: Node, foreign: Mapping[str, str]) -> None:
        """Keys of other programs that load and do nothing."""
        if isinstance(node.raw, dict):
            found = ((node.raw[key], why) for key, why in foreign.items() if key in node.raw)
            self.warnings += [f"{key.where}: {key.path}: {why}" for key, why in found]
