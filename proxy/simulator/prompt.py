"""Reading a prompt as a model would: its labelled sections, the tools it offers, what it asks for.

A section starts with a line such as `[user k3f9ab12]`; the first label of a prompt tells its nonce, and lines
with another one are somebody's text. A prompt without labels is one user's message.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

_KINDS = {"system", "tools", "format", "user", "assistant", "result", "reminder"}
_INSTRUCTIONS = _KINDS - {"user"}
_SCHEMA_KEYS = {"type", "properties", "$ref", "anyOf", "oneOf", "allOf"}
_LABEL = re.compile(r"^\[([a-z][a-z_]*)(?: +([^\]\s]+))?([^\]\n]*)\][ \t]*\r?$", re.MULTILINE)
_MARKER = re.compile(r"FUNCTION_CALL_START(_\w+)?")


@dataclass(frozen=True, slots=True)
class Section:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True)
class Prompt:
    sections: tuple[Section, ...]
    nonce: str | None = None

    @cached_property
    def user(self) -> str:
        """The last thing the user said."""
        at = self._last_user
        return self.sections[at].text if at is not None else ""

    @cached_property
    def results(self) -> tuple[str, ...]:
        """The tools' results since then."""
        since = self.sections[self._last_user or 0 :]
        return tuple(section.text for section in since if section.kind == "result")

    @cached_property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(tool for line in self._of("tools").splitlines() if (tool := _tool(line)) is not None)

    @cached_property
    def marker_suffix(self) -> str:
        """What the prompt's call markers carry: nothing, or an underscore and the nonce."""
        shown = [match[1] or "" for match in _MARKER.finditer(self._of("tools"))]
        own = f"_{self.nonce}"
        return own if own in shown else shown[0] if shown else ""

    @cached_property
    def reminder(self) -> str:
        return self._of("reminder")

    @cached_property
    def format_schema(self) -> Mapping[str, object] | None:
        """The schema of the JSON that is asked for: empty if any object will do, None if prose will."""
        text = self._of("format")
        if "json" not in text.casefold():
            return None
        for found in _objects(text):
            inner = found.get("schema", found)
            if isinstance(inner, dict) and inner.keys() & _SCHEMA_KEYS:
                return inner
        return {}

    @cached_property
    def _last_user(self) -> int | None:
        users = [at for at, section in enumerate(self.sections) if section.kind == "user"]
        others = [at for at, section in enumerate(self.sections) if section.kind not in _INSTRUCTIONS]
        found = users or others
        return found[-1] if found else None

    def _of(self, kind: str) -> str:
        return "\n".join(section.text for section in self.sections if section.kind == kind)


def read_prompt(text: str) -> Prompt:
    first = next((label for label in _LABEL.finditer(text) if label[1] in _KINDS), None)
    if first is None:
        return Prompt((Section("user", text.strip()),))
    nonce = first[2]
    found = _LABEL.finditer(text)
    labels = [label for label in found if (label[2] == nonce if nonce else label[1] in _KINDS)]
    ends = [label.start() for label in labels[1:]] + [len(text)]
    bodies = [text[label.end() : end].strip("\r\n") for label, end in zip(labels, ends, strict=True)]
    return Prompt(tuple(Section(label[1], body) for label, body in zip(labels, bodies, strict=True)), nonce)


def _tool(line: str) -> Tool | None:
    """The tool that a line of JSON describes, OpenAI's wrapping allowed."""
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    value = value.get("function", value)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    description, parameters = value.get("description"), value.get("parameters")
    return Tool(value["name"], str(description or ""), parameters if isinstance(parameters, dict) else {})


def _objects(text: str) -> Iterator[dict[str, object]]:
    """The JSON objects that stand in a text, outermost ones only."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            yield value
        at = text.find("{", end)
