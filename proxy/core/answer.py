"""An ``Answer``: the one vocabulary between an upstream's reader, the filters and a caller's dialect."""

from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.errors import ProxyError

FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]

CHARS_PER_TOKEN = 4  # the estimate used when an upstream gives no count


def estimated_tokens(characters: int) -> int:
    return -(-characters // CHARS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted. ``estimated`` marks numbers that were guessed from the length of the text."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """By whom a request was answered: a provider's target; and in how many seconds since it came."""

    provider: str
    target: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a whole answer.

    ``usage`` is None when the proxy ended the answer before the upstream had counted. ``model`` is what really
    answered, when the upstream says so. ``served`` is added on the way, for a caller who wants to know.
    """

    reason: FinishReason
    usage: Usage | None = None
    model: str | None = None
    served: Served | None = None


class Answer(Protocol):
    """What an answer is pushed into, piece by piece: any number of ``text``, ``reasoning``, ``call`` and
    ``arguments``, then one ``finish`` or one ``fail``, after which nothing more comes."""

    def text(self, piece: str) -> None: ...
    def reasoning(self, piece: str) -> None:
        """A piece of what the model thought before it answered. It is no part of the text."""

    def call(self, id: str, name: str) -> None: ...
    def arguments(self, piece: str) -> None:
        """A piece of the JSON arguments of the call opened last."""

    def finish(self, end: Finish) -> None: ...
    def fail(self, error: ProxyError) -> None: ...


class Verbatim(Answer, Protocol):
    """An answer that also takes its caller's own wire format ready-made, from an upstream that speaks the same."""

    def frames(self, data: bytes, count: int) -> None:
        """Whole frames of a stream, ``count`` of them events."""

    def body(self, data: bytes) -> None:
        """A whole answer."""


class Rendering(Answer, Protocol):
    """An answer at its last stop: it turns what it is told into the caller's wire format."""

    @property
    def chunks(self) -> int:
        """Messages made for the caller so far."""

    def take(self) -> bytes:
        """What goes to the caller now; empties what is kept. Asked once for each read of the upstream."""
