"""JSON of callers, decoded into a shape; what does not fit is a 400 that names where."""

import re
from typing import TypeVar

import msgspec

from proxy.core.callers.chat_limits import check_counts
from proxy.errors import InvalidRequest

Shape = TypeVar("Shape")
BOM = b"\xef\xbb\xbf"
_AT = re.compile(r" - at `\$\.?(.*?)`$")
_ENUM = re.compile(r"Invalid enum value .*", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})")
MENDED = 200_000
"""So many surrogates of a body are looked at, when one of them has made it unreadable."""
_MISSING = re.compile(r"missing required field `(\w+)`")


def decode(decoder: msgspec.json.Decoder[Shape], body: bytes) -> tuple[Shape, bytes]:
    """The request, and its body as it can be passed on."""
    try:
        body.decode()  # the decoder does not look into the texts that it skips
        body = body.removeprefix(BOM)
        check_counts(body)
        try:
            return decoder.decode(body), body
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            body = _without_surrogates(body)
            return decoder.decode(body), body
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def decode_part(decoder: msgspec.json.Decoder[Shape], raw: msgspec.Raw, at: str, limit: int) -> Shape:
    """A part of the request that is decoded on its own. Raises ``InvalidRequest`` over ``limit`` bytes."""
    size = memoryview(raw).nbytes
    if size > limit:
        raise InvalidRequest(f"{at}: {size} bytes are more than the {limit} allowed", param=at)
    try:
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return decoder.decode(_without_surrogates(bytes(raw)))
    except msgspec.ValidationError as error:
        raise _invalid(error, at) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{at}: {error}", param=at) from None
    except RecursionError:
        raise InvalidRequest(f"{at}: it is nested too deeply", param=at) from None


def _invalid(error: msgspec.ValidationError, at: str = "") -> InvalidRequest:
    """``at`` is where the value stands that was decoded, empty for the whole body."""
    text = str(error)
    found = _AT.search(text)
    path = ".".join(part for part in (at, found[1] if found else "") if part)
    if missing := _MISSING.search(text):
        path = f"{path}.{missing[1]}" if path else missing[1]
    text = _ENUM.sub("not one of the values that are known here", _AT.sub("", text))
    return InvalidRequest(f"{path}: {text}" if path else text, param=path.replace("[...]", "") or None)


def _without_surrogates(body: bytes) -> bytes:
    """JavaScript clients that cut a string inside an emoji send half of it, escaped; it becomes ``?``."""
    return _SURROGATE.sub(_without_half, body, count=MENDED)


def _without_half(found: re.Match[bytes]) -> bytes:
    body, at, whole = found.string, found.start(), found[0]
    while at and body[at - 1] == ord("\\"):
        at -= 1
    if (found.start() - at) % 2:  # the first backslash is escaped itself: what it stands before is text
        return whole[:6] + b"?" if found[1] else whole
    return whole if found[1] else b"?"
