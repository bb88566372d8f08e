"""Refusals of OpenAI-compatible providers: ``{"error": {"message", "type", "param", "code"}}``, or anything else."""

from typing import Any

import orjson

from proxy.core.dialect import Headers
from proxy.core.upstreams.error_words import reason_of, with_words
from proxy.errors import (
    CallerError,
    CreditSpent,
    PassedOn,
    ProxyError,
    UpstreamAuth,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
)

TEXT_LIMIT = 300
LONGEST_WAIT_S = 86_400.0  # so that nobody's mistake keeps a provider away for ever
_THE_CALLERS = (400, 413, 422)  # what the provider says of the request, the caller has to hear


def refusal(model: str, status: int, headers: Headers, body: bytes) -> ProxyError:
    """The error that an answer with another status than 200 stands for. ``model`` is the name used in messages."""
    error = error_of(body)
    said = _said(error, body)
    if status in _THE_CALLERS:
        summary = f"the provider of {model!r} refused the request"
        fields = {
            "type": _text(error.get("type")) or CallerError.type,
            "param": _text(error.get("param")),
            "code": _text(error.get("code")),
        }
        return PassedOn(said or summary, status=status, fields=fields, reason=reason_of(summary, status, _code(error)))
    refused = _refusal(model, status, headers, error)
    return with_words(refused, status, _code(error), "" if isinstance(refused, UpstreamAuth | CreditSpent) else said)


def in_stream_error(model: str, error: object) -> ProxyError:
    """The error that an error object inside a stream stands for."""
    error = error if isinstance(error, dict) else {"message": error}
    broken = UpstreamBroken(f"the provider of {model!r} broke its answer off")
    return with_words(broken, None, _code(error), _text(error.get("message")) or "")


def _refusal(model: str, status: int, headers: Headers, error: dict[str, Any]) -> ProxyError:
    """Without the provider's words."""
    match status:
        case 401:
            return UpstreamAuth(f"the provider of {model!r} refuses the proxy's key; this is not about the caller's")
        case 403:
            return UpstreamForbidden(f"the provider of {model!r} forbids it")
        case 404:
            return UpstreamNotFound(f"the provider of {model!r} has no such model or address")
        case 429 if "insufficient_quota" in (error.get("code"), error.get("type")):
            return CreditSpent(f"the account at the provider of {model!r} has used up its quota")
        case 429:
            return UpstreamRateLimited(f"the provider of {model!r} limits requests", retry_after=_wait(headers))
        case _ if status >= 500:
            return UpstreamFailed(
                f"the provider of {model!r} answered {status}", status=status, retry_after=_wait(headers)
            )
    return UpstreamRejected(f"the provider of {model!r} answered {status}")


def error_of(body: bytes) -> dict[str, Any]:
    """The error object of a body, empty if it has none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _said(error: dict[str, Any], body: bytes) -> str:
    text = _text(error.get("message")) or ("" if error else " ".join(body.decode(errors="replace").split()))
    return text[:TEXT_LIMIT]


def _code(error: dict[str, Any]) -> object:
    """The code, in whose place some gateways have a number or the type alone."""
    code = error.get("code") or error.get("type")
    return str(code) if isinstance(code, int) else code


def _text(value: object) -> str | None:
    return value[:TEXT_LIMIT] if isinstance(value, str) else None


def _wait(headers: Headers) -> int | None:
    value = headers.get("retry-after", "").strip()
    try:
        return round(min(max(1.0, float(value)), LONGEST_WAIT_S))
    except ValueError:
        return None
