"""The correlation id of a request: its own header, else what the client sends as its session."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from proxy.config.settings import Correlation
from proxy.errors import CorrelationInvalid, CorrelationMissing

VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_OUTSIDE = re.compile(r"[^A-Za-z0-9._:-]")
_LONGEST = 128
_ABSENT = msgspec.Raw(b"null")
_SESSION_OF_USER = re.compile(r"_session_([0-9a-fA-F-]{36})$")
"""How Claude Code before 2.1 ends ``metadata.user_id``."""


def of_header(rule: Correlation, headers: Mapping[str, str]) -> str | None:
    """The id in the header that ``rule`` names. Raises ``CorrelationInvalid`` for a malformed one."""
    value = headers.get(rule.header)
    if value is not None and not VALID.fullmatch(value):
        raise CorrelationInvalid(
            f"{rule.header} must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -", param=rule.header
        )
    return value


def of_session_header(rule: Correlation, headers: Mapping[str, str]) -> str | None:
    """The first session id among the headers of ``rule.also_accept``, as an id."""
    return next(filter(None, (_as_id(headers.get(name)) for name in rule.also_accept)), None)


def of_session_field(rule: Correlation, body: bytes) -> str | None:
    """The first session id among the fields of the body that ``rule.also_accept`` names, as an id.

    A dot in a name leads into an object. Of ``metadata.user_id`` only the session in it counts, since the rest names
    a person. A body that is not JSON has none.
    """
    paths = [tuple(name.split(".")) for name in rule.also_accept]
    try:
        top = _members(msgspec.Raw(body), tuple(dict.fromkeys(path[0] for path in paths)))
    except (ValueError, RecursionError):
        return None
    return next(filter(None, (_as_id(_text(top[path[0]], path)) for path in paths)), None)


def missing(rule: Correlation) -> CorrelationMissing:
    elsewhere = f", or {', '.join(rule.also_accept)} (proxy.correlation.also_accept)" if rule.also_accept else ""
    return CorrelationMissing(
        f"send the header '{rule.header}' with an id of your conversation: 1 to 128 of A-Z a-z 0-9 . _ : -{elsewhere}; "
        "with proxy.correlation.required: false the proxy makes one",
        param=rule.header,
    )


def _as_id(value: str | None) -> str | None:
    """A client's session id in the characters of an id; of one that is too long the end becomes a digest."""
    value = _OUTSIDE.sub("_", (value or "").strip())
    if len(value) <= _LONGEST:
        return value or None
    digest = hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
    return f"{value[: _LONGEST - len(digest) - 1]}.{digest}"


def _text(value: msgspec.Raw, path: tuple[str, ...]) -> str | None:
    """The text at ``path`` below a member of the body; None if there is none."""
    try:
        for name in path[1:]:
            value = _members(value, (name,))[name]
        text = msgspec.json.decode(value, type=str)
    except (ValueError, RecursionError):
        return None
    return _session_of_user(text) if path == ("metadata", "user_id") else text


def _session_of_user(user: str) -> str | None:
    """The session in Anthropic's ``metadata.user_id``: a member of a JSON text, or its end."""
    try:
        return msgspec.json.decode(_members(msgspec.Raw(user.encode()), ("session_id",))["session_id"], type=str)
    except (ValueError, RecursionError):
        found = _SESSION_OF_USER.search(user)
        return found[1] if found else None


def _members(value: msgspec.Raw, names: tuple[str, ...]) -> dict[str, msgspec.Raw]:
    """The members of an object that have these names; nothing is made of the others. Raises ``ValueError``."""
    found = _decoder(names).decode(value)
    return {name: getattr(found, field) for name, field in zip(names, _fields(names), strict=True)}


@lru_cache(maxsize=64)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    fields = list(_fields(names))
    struct = msgspec.defstruct(
        "Members",
        [(field, msgspec.Raw, _ABSENT) for field in fields],
        rename=dict(zip(fields, names, strict=True)),
    )
    return msgspec.json.Decoder(struct)


def _fields(names: tuple[str, ...]) -> Iterable[str]:
    return (f"field_{number}" for number in range(len(names)))
