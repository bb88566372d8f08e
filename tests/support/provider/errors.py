"""OpenAI's error bodies."""

from collections.abc import Mapping
from http.client import responses

ErrorBody = dict[str, dict[str, str | None]]


def error(message: str, type: str, code: str | None = None, param: str | None = None) -> ErrorBody:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def invalid(message: str, param: str | None = None) -> ErrorBody:
    return error(message, "invalid_request_error", None, param)


def wrong_key(authorization: str) -> ErrorBody:
    """What a 401 says; it shows the end of the key, as OpenAI's does."""
    if not authorization:
        return invalid("You didn't provide an API key. Provide it in an Authorization header using Bearer auth.")
    return error(f"Incorrect API key provided: *****{authorization[-4:]}.", "invalid_request_error", "invalid_api_key")


def of_status(status: int) -> ErrorBody:
    """What a status says that was scripted without a body."""
    if status in _USUAL:
        return _USUAL[status]
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return error(responses.get(status, f"Status {status}"), kind)


_USUAL: Mapping[int, ErrorBody] = {
    400: error("Unsupported value: 'temperature'.", "invalid_request_error", "unsupported_value", "temperature"),
    401: wrong_key("wrong-key"),
    403: error("You are not allowed to sample from this model.", "invalid_request_error", "permission_denied"),
    404: error("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    429: error("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: error("The server had an error while processing your request.", "server_error"),
    503: error("The engine is currently overloaded.", "server_error", "overloaded"),
}
