"""A YAML file as nodes that know their line, so that whatever is wrong with a value can be pointed at."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from proxy.config.settings import ConfigError

_ENVIRONMENT = re.compile(r"os\.environ/(\w+)")
_LIKE_A_REFERENCE = re.compile(r"\s*os\.environ\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file: ``path`` as ``model_list[0].litellm_params``, ``line`` counted from 1.

    ``lookup`` gives environment variables; an ``os.environ/NAME`` whose variable is unset counts as absent.
    """

    path: str
    line: int
    file: str
    raw: Any
    lookup: Callable[[str], str | None]
    source: str | None = None
    """A scalar as it stands in the file: ``0777`` is a number to YAML and may be an id to its user."""

    def error(self, problem: str) -> ConfigError:
        return ConfigError(f"{self.where}: {self.path or 'the file'}: {problem}")

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def value(self) -> Any:
        """The scalar, with ``os.environ/NAME`` looked up; None when absent. Raises ``ConfigError`` for a reference that
        is misspelt: as a literal it would be a secret that anyone can guess."""
        if self.variable is not None:
            try:
                return self.lookup(self.variable)
            except ConfigError as error:
                raise self.error(str(error)) from None
        if isinstance(self.raw, str) and _LIKE_A_REFERENCE.match(self.raw):
            raise self.error("a variable is written os.environ/NAME, its name in letters, digits and _")
        return self.raw

    @property
    def variable(self) -> str | None:
        """The environment variable that the value is read from."""
        reference = _ENVIRONMENT.fullmatch(self.raw) if isinstance(self.raw, str) else None
        return reference[1] if reference else None

    def fields(self, known: tuple[str, ...], elsewhere: Mapping[str, str] | None = None) -> dict[str, "Node"]:
        """The entries of a mapping. A key that is neither ``known`` nor named in ``elsewhere`` (keys of other
        programs, kept out) is an error with a suggestion."""
        if self.raw is None:
            return {}
        if not isinstance(self.raw, dict):
            raise self.error("a mapping is expected here")
        found = {}
        for key, node in self.raw.items():
            if key in known:
                found[key] = node
            elif key not in (elsewhere or {}):
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"
                raise ConfigError(f"{node.where}: {node.path}: unknown key{hint}")
        return found

    def entries(self) -> Iterator[tuple[str, "Node"]]:
        """The entries of a mapping whose keys are free."""
        if self.raw is not None and not isinstance(self.raw, dict):
            raise self.error("a mapping is expected here")
        yield from (self.raw or {}).items()

    def items(self) -> list["Node"]:
        if self.raw is None:
            return []
        if not isinstance(self.raw, list):
            raise self.error("a list is expected here")
        return self.raw

    def text(self) -> str | None:
        value = self.value()
        if value is None or value == "":
            return None
        if isinstance(value, bool | dict | list):
            raise self.error("a text is expected here")
        text = self.source if self.source is not None and not isinstance(value, str) else str(value)
        if not text.isprintable():
            raise self.error("it holds a line break or another control character")
        return text

    def number(self, at_least: float = 0) -> float | None:
        value = self.value()
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise self.error(f"a number is expected here, not {value!r}") from None
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error("a number is expected here")
        if not at_least <= value < float("inf"):
            raise self.error(f"{value:g} is too small; at least {at_least:g}" if value < at_least else "not finite")
        return int(value) if value == int(value) else value

    def count(self, at_least: int = 0) -> int | None:
        value = self.number(at_least)
        if isinstance(value, float):
            raise self.error(f"a whole number is expected here, not {value:g}")
        return value

    def flag(self) -> bool | None:
        value = self.value()
        if isinstance(value, str):
            return as_flag(value, self.error)
        if value is not None and not isinstance(value, bool):
            raise self.error("true or false is expected here")
        return value

    def choice(self, *allowed: str) -> str | None:
        value = self.text()
        if value is not None and value not in allowed:
            raise self.error(f"one of {', '.join(allowed)} is expected here, not {value!r}")
        return value


def positive(node: Node) -> float | None:
    return node.number(at_least=0.001)


def texts(node: Node) -> tuple[str, ...]:
    return tuple(text for item in node.items() if (text := item.text()))


def at_least_one(node: Node) -> int | None:
    return node.count(at_least=1)


def as_flag(value: str, error: Callable[[str], ConfigError]) -> bool:
    lowered = value.strip().lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise error(f"true or false is expected here, not {value!r}")


def read(path: Path, lookup: Callable[[str], str | None]) -> Node:
    """The root node of a file. Raises ``ConfigError`` for one that cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path), lookup)


def parse(text: str, file: str, lookup: Callable[[str], str | None]) -> Node:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        return _node(root, "", file, loader, lookup) if root else Node("", 1, file, None, lookup)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from None
    finally:
        loader.dispose()


def _node(node: yaml.Node, path: str, file: str, loader: yaml.SafeLoader, lookup: Callable[[str], str | None]) -> Node:
    line = node.start_mark.line + 1
    raw: Any
    if isinstance(node, yaml.MappingNode):
        own = [str(loader.construct_object(key)) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := next((key for key in own if own.count(key) > 1), None):
            raise ConfigError(f"{file}:{line}: {path or 'the file'}: the key {twice!r} stands here twice")
        loader.flatten_mapping(node)
        raw = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node))
            inner = f"{path}.{key}" if path else key
            value = _node(value_node, inner, file, loader, lookup)
            raw[key] = replace(value, line=key_node.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        raw = [_node(item, f"{path}[{index}]", file, loader, lookup) for index, item in enumerate(node.value)]
    else:
        raw = loader.construct_object(node)
    return Node(path, line, file, raw, lookup, node.value if isinstance(node, yaml.ScalarNode) else None)
