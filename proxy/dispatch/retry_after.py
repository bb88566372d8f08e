"""The Retry-After header of an upstream (RFC 9110, 10.2.3): seconds, or an HTTP date."""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from proxy.core.dialect import Headers

LONGEST_S = 86_400
NAME = "retry-after"
_NUMBER = re.compile(r"[0-9]{1,64}(\.[0-9]{0,64})?")  # fractions are no part of the standard, but are sent


def in_seconds(headers: Headers, now: float | None = None) -> Mapping[str, str]:
    """``headers`` with a Retry-After of whole seconds, 1 to ``LONGEST_S``, or without one: what is past, or cannot be
    read, asks for no wait. ``now`` is in Unix seconds."""
    value = headers.get(NAME)
    if value is None:
        return headers
    others = {name.lower(): text for name, text in headers.items() if name.lower() != NAME}
    seconds = _seconds(value.strip(), time.time() if now is None else now)
    return others | {NAME: str(min(math.ceil(seconds), LONGEST_S))} if seconds > 0 else others


def _seconds(value: str, now: float) -> float:
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value[:64])
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
