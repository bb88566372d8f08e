"""How values are written where other programs read them."""

import json
import re
import time
from datetime import UTC, datetime

import orjson

_TOOL = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


def to_json(value: object) -> bytes:
    """On one line. No line is lost for what orjson cannot write: huge numbers, halves of characters."""
    try:
        return orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        return json.dumps(value, default=str).encode()


def safe_tool(name: str) -> str:
    """The name of a tool call, if it is one that a tool can have: the model may write anything in its place."""
    return name if _TOOL.fullmatch(name) else "***"


def ms(seconds: float) -> float:
    """Milliseconds, as log lines and records have them."""
    return round(seconds * 1000, 3)


def iso(seconds: float | None = None) -> str:
    """A point in time, in Unix seconds; now if none is given."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
