"""Values in the JSON of OpenAI-compatible providers, which may be anything."""

from collections.abc import Mapping
from typing import Any, TypeVar

from proxy.core.answer import Usage

HIGHEST_COUNT = 10**15
Kind = TypeVar("Kind")


class Misshapen(Exception):
    """A value is of another kind than it should be."""


def read_usage(usage: Mapping[str, Any]) -> Usage | None:
    """Tokens as OpenAI counts them; None if the numbers are not there."""
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None

    def detail(of: str, key: str) -> int:
        details = usage.get(of)
        return (_count(details.get(key)) or 0) if isinstance(details, dict) else 0

    return Usage(
        prompt,
        completion,
        detail("prompt_tokens_details", "cached_tokens"),
        detail("completion_tokens_details", "reasoning_tokens"),
    )


def _count(value: object) -> int | None:
    """A number of tokens."""
    return value if isinstance(value, int) and 0 <= value < HIGHEST_COUNT else None


def items(value: object) -> list[Any]:
    """The items of a list; none of anything else."""
    return value if isinstance(value, list) else []


def mapping(value: object) -> dict[str, Any]:
    """An object, empty in place of null."""
    return checked(value, dict) or {}


def text_of(value: object) -> str:
    """A text, empty in place of null."""
    return checked(value, str) or ""


def checked(value: object, kind: type[Kind]) -> Kind | None:
    """A value of this kind, or none. Raises ``Misshapen`` for another."""
    if value is None or isinstance(value, kind):
        return value
    raise Misshapen(f"{type(value).__name__} in place of {kind.__name__}")
