"""What a proxy says in place of an answer, told for people."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from proxy.commands import CommandFailed
from proxy.commands.terminal import printable


async def accept(response: aiohttp.ClientResponse) -> None:
    """Raises ``CommandFailed`` for a refusal, in the proxy's own words."""
    if response.status != 200:
        error = as_object(await response.read()).get("error")
        if not isinstance(error, dict):
            raise CommandFailed(f"{response.url.origin()} answers {response.status}; is a proxy of this kind there?")
        raise CommandFailed(told(error, response.status))


def told(error: Mapping[str, Any], status: int | None = None) -> str:
    """An error of the proxy's, for people."""
    marks = " ".join(str(mark) for mark in (status, error.get("code")) if mark)
    return printable(f"{error.get('message')}{marks and f' ({marks})'}")


def as_object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
