"""The few fields of a provider's whole answer that the proxy reads. Everything else is passed on unread.

https://platform.openai.com/docs/api-reference/chat/object
"""

from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct

FIELD_LIMIT = 64 * 1024
"""Bytes of one field, beyond which it is taken as absent."""
_NULL = Raw(b"null")


class _Body(Struct):
    model: Raw = _NULL
    usage: Raw = _NULL
    error: Raw = _NULL
    choices: Raw = _NULL


class _Choice(Struct):
    finish_reason: Raw = _NULL


class _Choices(Struct, array_like=True):
    """Of a list the first item; the decoder skips the others without building them."""

    first: _Choice = msgspec.field(default_factory=_Choice)


_BODY = msgspec.json.Decoder(_Body)
_CHOICES = msgspec.json.Decoder(_Choices)


def read_body(body: bytes) -> dict[str, Any] | None:
    """The model, the usage, the error and the first choice's finish reason, as far as they are there; None for what is
    no JSON object. An error of any size is kept as one."""
    try:
        if not body.isascii():
            body.decode()  # the decoder does not look into the texts that it skips
        read = _BODY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    choices = [{"finish_reason": _value(_first(read.choices).finish_reason)}]
    error = _value(read.error) or (len(read.error) > FIELD_LIMIT)
    return {"model": _value(read.model), "usage": _value(read.usage), "error": error, "choices": choices}


def _first(choices: Raw) -> _Choice:
    try:
        return _CHOICES.decode(choices).first
    except (msgspec.MsgspecError, RecursionError):
        return _Choice()


def _value(raw: Raw) -> Any:
    data = bytes(raw) if memoryview(raw).nbytes <= FIELD_LIMIT else b"null"
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # a lone surrogate, or a number that is too long
        return None
