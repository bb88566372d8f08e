"""A ``Call``: what a caller wants from a model, free of any dialect."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

CALL_ID_CHARS = 24


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. ``parameters`` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made earlier. ``arguments`` is JSON text, as the caller sent it back."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class SystemText:
    text: str


@dataclass(frozen=True, slots=True)
class UserText:
    text: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AssistantText:
    text: str
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. ``name`` is that of the call with the same id, when that is still in the history."""

    call_id: str
    name: str
    text: str


Entry = SystemText | UserText | AssistantText | ToolResult


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``names`` narrows the choice to some of the tools; empty means any."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer is to be one JSON value that fits ``schema``, or any object without one."""

    schema: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a completion.

    ``id`` is unique to the request and seeds every id made for it; ``created`` is in Unix seconds.
    ``history`` is the conversation in order, the leading system texts apart in ``system``.
    ``stop`` are texts that end the answer before them. ``answers`` is how many answers are asked for.
    ``unsupported`` names the parameters sent that only some upstreams can honour. ``conversation`` identifies
    the conversation that the request belongs to, among those of ``owner``: the name of the caller's key where
    callers have different keys, empty where all of them share one or need none. ``body`` is the request as it was
    sent, in ``dialect``, for an upstream that speaks the same.
    """

    id: str
    created: int
    model: str
    system: str
    history: tuple[Entry, ...]
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    parallel_calls: bool = True
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    format: JsonFormat | None = None
    answers: int = 1
    unsupported: tuple[str, ...] = ()
    session: str | None = None
    conversation: str | None = None
    owner: str = ""
    dialect: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that the model may call in this request."""
        if self.choice.mode == "none":
            return ()
        names = frozenset(self.choice.names)
        return tuple(tool for tool in self.tools if tool.name in names) if names else self.tools


def call_id(seed: str, number: int) -> str:
    """The id of the ``number``-th tool call made for the request ``seed``: ``call_`` and 24 hex digits."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=CALL_ID_CHARS // 2)
    return "call_" + digest.hexdigest()
