"""When two requests are the same: what they ask for, whatever their form."""

import hashlib
import json
from dataclasses import fields
from typing import Any

import msgspec

from proxy.core.call import Call

ASIDE = frozenset(
    {
        "model",  # its name, of which there may be several, is for the router
        "user",
        "metadata",
        "session_id",
        "store",
        "safety_identifier",
        "prompt_cache_key",
    }
)
"""Parameters that no answer depends on. Every other one counts, known here or not."""
FORM = frozenset({"stream", "stream_options"})
"""Those on which only the form of an answer depends."""
COMPARED = 64 * 1024
"""Bytes of a parameter, beyond which it has to be written in the same way to be the same."""
_NULL = msgspec.Raw(b"null")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def identities(call: Call, *context: str) -> tuple[str, ...]:
    """Digests that are the same for the same requests in the same ``context``: of what is asked for, and of that in
    the form in which it is asked for. None for a request that cannot be read in full, which is the same as no other."""
    try:
        asked = _fields(call.body) if call.body else _neutral(call)
        free = {name: value for name, value in asked.items() if name not in FORM}
        return _digest((call.dialect, context, free)), _digest((call.dialect, context, "formed", asked))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return ()


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(errors="surrogatepass"), digest_size=32).hexdigest()


def _fields(body: bytes) -> dict[str, Any]:
    sent = _FIELDS.decode(body)
    return {name: _comparable(sent[name]) for name in sorted(sent) if name not in ASIDE and sent[name] != _NULL}


def _comparable(raw: msgspec.Raw) -> Any:
    text = bytes(raw)
    if len(text) > COMPARED:
        return hashlib.blake2b(text).digest()
    return _ordered(json.loads(text, parse_float=_Number, parse_int=_Number))


def _ordered(value: Any) -> Any:
    """Objects with their keys in order."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


class _Number(str):
    """A number as it is written, so that nothing is rounded."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _neutral(call: Call) -> dict[str, Any]:
    """For a dialect that keeps no body."""
    aside = {"id", "created", "model", "session", "conversation", "owner", "dialect", "body"}
    return {field.name: getattr(call, field.name) for field in fields(call) if field.name not in aside}
