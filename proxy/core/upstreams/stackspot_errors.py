"""StackSpot's refusals, as far as they are known: an envelope ``{"type", "code", "details"}``, plain text or
nothing at all."""

import re

import orjson

from proxy.core.dialect import Headers
from proxy.core.upstreams.error_words import with_words
from proxy.errors import (
    ContextTooLong,
    CreditSpent,
    ProxyError,
    UpstreamAuth,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
)

RATE_LIMITED = "INFERENCE_3008"
TOO_LONG = "INFERENCE_6001"
COOL_DOWN_S = 5  # StackSpot sends no Retry-After of its own
TEXT_LIMIT = 300

WAIT_DIGITS = 6
LONGEST_WAIT_S = 86_400  # so that nobody's mistake keeps an agent away for ever
_TOKENS = re.compile(r"(\d{1,12}) tokens")
_CREDIT = re.compile(r"credit limit", re.IGNORECASE)


def refusal(model: str, status: int, headers: Headers, body: bytes) -> ProxyError:
    """The error that an answer with another status than 200 stands for. ``model`` is the name used in messages."""
    code, details = _read(body)
    error = _refusal(model, status, details, _seconds(headers.get("retry-after")))
    words = details if isinstance(error, _QUOTED) else ""
    return with_words(error, status, code, words[:TEXT_LIMIT])


def in_stream_error(message: bytes) -> ProxyError:
    """The error that an error event inside a stream, given as JSON, stands for."""
    code, details = _read(message) if message else (None, "")
    error = _by_code(details) or UpstreamBroken("StackSpot broke its answer off")
    words = details if isinstance(error, _QUOTED) else ""
    return with_words(error, None, code, words[:TEXT_LIMIT])


_QUOTED = (ContextTooLong, UpstreamFailed, UpstreamRejected, UpstreamBroken)
"""Errors whose message quotes StackSpot. The others say all there is to say."""


def _refusal(model: str, status: int, details: str, retry_after: int | None) -> ProxyError:
    """Without StackSpot's words."""
    by_code = _by_code(details, retry_after)
    if by_code is not None:
        return by_code
    if status == 429:
        if _CREDIT.search(details):
            return CreditSpent("the StackSpot account has used up its credit")
        return _rate_limited(retry_after)
    if status == 401:
        return UpstreamAuth("StackSpot refuses the proxy's credentials; this is not about the caller's key")
    if status == 403:
        return UpstreamForbidden(f"the agent behind {model!r} is not shared with the proxy's StackSpot client")
    if status == 404:
        return UpstreamNotFound(f"StackSpot has no such agent as the one configured for {model!r}")
    if status >= 500:
        return UpstreamFailed(f"StackSpot answered {status}", status=status, retry_after=retry_after)
    return UpstreamRejected(f"StackSpot answered {status}")


def _by_code(details: str, retry_after: int | None = None) -> ProxyError | None:
    if TOO_LONG in details:
        return ContextTooLong("the conversation is longer than the model's context", room=_room(details))
    if RATE_LIMITED in details:
        return _rate_limited(retry_after)
    return None


def _room(details: str) -> float | None:
    """From "limit of 272000 tokens ... resulted in 340000 tokens": the part that would have fitted."""
    numbers = [int(number) for number in _TOKENS.findall(details)]
    if len(numbers) < 2 or not 0 < numbers[0] < numbers[1]:
        return None
    return numbers[0] / numbers[1]


def _rate_limited(retry_after: int | None) -> UpstreamRateLimited:
    return UpstreamRateLimited("StackSpot limits this account's requests", retry_after=retry_after or COOL_DOWN_S)


def _read(body: bytes) -> tuple[object, str]:
    """The code of an envelope, and what a body says on one line: an envelope's code and details, or its text."""
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, " ".join(body.decode(errors="replace").split())
    if not isinstance(envelope, dict):
        return None, str(envelope)
    inner = envelope.get("error")
    if isinstance(inner, dict):
        envelope = inner
    parts = [envelope.get(key) for key in ("code", "details", "message")]
    details = ": ".join(str(part) for part in [*parts, inner if isinstance(inner, str) else None] if part)
    return envelope.get("code"), details


def _seconds(value: str | None) -> int | None:
    return min(int(value), LONGEST_WAIT_S) if value and value.isdecimal() and len(value) <= WAIT_DIGITS else None
