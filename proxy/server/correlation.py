"""The correlation id: found, checked, or made."""

import re
from collections.abc import Mapping

import orjson

from proxy.config.settings import Correlation
from proxy.errors import CorrelationInvalid, CorrelationMissing

VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
FROM_BODY = "metadata.session_id"


def find(rule: Correlation, headers: Mapping[str, str], body: bytes | None) -> str | None:
    """The id that a request carries, or None. ``body`` is looked at only where the rule allows it.

    Raises ``CorrelationInvalid`` for a malformed one.
    """
    for source in (rule.header, *rule.also_accept):
        value = _session_id(body) if source == FROM_BODY else headers.get(source)
        if value is None:
            continue
        if not VALID.fullmatch(value):
            raise CorrelationInvalid(f"{source} must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -", param=source)
        return value
    return None


def missing(rule: Correlation) -> CorrelationMissing:
    return CorrelationMissing(
        f"send the header '{rule.header}' with an id of your conversation: 1 to 128 of A-Z a-z 0-9 . _ : -",
        param=rule.header,
    )


def _session_id(body: bytes | None) -> str | None:
    try:
        value = orjson.loads(body or b"").get("metadata", {}).get("session_id")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return value if isinstance(value, str) else None
