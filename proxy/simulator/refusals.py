"""The ways StackSpot says no: a status and its envelope, or plain text, or nothing at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

RefusalName = Literal[
    "rate_limited",
    "context_length",
    "credit",
    "forbidden",
    "not_found",
    "unauthorized",
    "server_error",
    "bad_gateway",
    "unavailable",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dict goes out as JSON, a string as plain text, None as an empty body."""

    status: int
    body: Mapping[str, object] | str | None = None


def envelope(status: HTTPStatus, code: str, details: str) -> Refusal:
    """The service's own error shape."""
    return Refusal(status, {"type": status.name, "code": code, "details": details})


def bad_request(details: str) -> Refusal:
    return envelope(HTTPStatus.BAD_REQUEST, "INFERENCE_1000_INVALID_REQUEST", details)


def context_length(limit: int, used: int) -> Refusal:
    return envelope(
        HTTPStatus.BAD_REQUEST,
        "INFERENCE_6001_LLM_MODEL_BAD_REQUEST",
        f"Input tokens exceed the configured limit of {limit} tokens. "
        f"Your messages resulted in {used} tokens. Please reduce the length of the messages.",
    )


NAMED: Mapping[RefusalName, Refusal] = {
    "rate_limited": envelope(  # the service sends no Retry-After with it
        HTTPStatus.TOO_MANY_REQUESTS, "INFERENCE_3008_CHAT_RATE_LIMIT_EXCEEDED", "Chat rate limit exceeded."
    ),
    "context_length": context_length(272000, 340000),
    "credit": Refusal(429, "Credit Limit Reached"),
    "forbidden": Refusal(403),
    "not_found": envelope(HTTPStatus.NOT_FOUND, "INFERENCE_2001_AGENT_NOT_FOUND", "Agent not found."),
    "unauthorized": envelope(HTTPStatus.UNAUTHORIZED, "AUTH_0001_INVALID_TOKEN", "Token expired or revoked."),
    "server_error": envelope(
        HTTPStatus.INTERNAL_SERVER_ERROR, "INFERENCE_9999_INTERNAL_ERROR", "Something went wrong."
    ),
    "bad_gateway": Refusal(502, "Bad Gateway"),
    "unavailable": envelope(
        HTTPStatus.SERVICE_UNAVAILABLE, "INFERENCE_5003_UNAVAILABLE", "Service temporarily unavailable."
    ),
}
