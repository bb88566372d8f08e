"""Recorded streams as files: the format that the simulator replays."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

import orjson

from proxy import __version__
from proxy.config.secrets import ISSUED
from proxy.telemetry.capture.scrub import without_secrets, without_text
from proxy.telemetry.encoding import iso
from proxy.telemetry.files import write_whole

FILES_KEPT = 200
BYTES_KEPT = 64 * 1024 * 1024
_OURS = "[0-9]" * 8 + "T" + "[0-9]" * 6 + ".*Z-*.json"
_SHOWN = frozenset({"cache-control", "content-type", "retry-after", "x-accel-buffering"})
_SHOWN_BEGINNINGS = ("ratelimit", "x-ratelimit")

Ending = Literal["clean", "close", "left"]
"""The response ended as HTTP wants it; the connection broke; or nobody read on to see."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A response: its head after ``headers_s`` seconds, the pieces of its body each with its time."""

    provider: str
    status: int
    headers: Mapping[str, str]
    headers_s: float
    chunks: tuple[tuple[float, bytes], ...]
    end: Ending


class Recordings:
    """Writes them without ``hidden``, and without text unless that is to be kept."""

    def __init__(self, hidden: Sequence[bytes], *, keep_text: bool) -> None:
        self._hidden = hidden
        self._keep_text = keep_text

    def write(self, path: Path, recording: Recording) -> None:
        """Raises ``OSError``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, orjson.dumps(self._content(recording)))

    def _content(self, recording: Recording) -> dict[str, object]:
        body = b"".join(data for _, data in recording.chunks)
        hidden = [*self._hidden, *(token.encode() for token in ISSUED.written)]
        scrubbed = (without_secrets if self._keep_text else without_text)(body, hidden)
        assert len(scrubbed) == len(body), "or the cuts between the chunks would be elsewhere"
        cuts = accumulate((len(data) for _, data in recording.chunks), initial=0)
        times = (round(at, 6) for at, _ in recording.chunks)
        return {
            "status": recording.status,
            "headers": {name.lower(): value for name, value in recording.headers.items() if _is_shown(name.lower())},
            "headers_s": round(recording.headers_s, 6),
            "chunks": [
                [at, base64.b64encode(scrubbed[start:end]).decode()]
                for at, (start, end) in zip(times, pairwise(cuts), strict=True)
            ],
            "end": recording.end,
            "provider": recording.provider,
            "text": "kept" if self._keep_text else "masked",
            "other_headers": sorted(name.lower() for name in recording.headers if not _is_shown(name.lower())),
            "recorded_at": iso(),
            "proxy_version": __version__,
        }


def prune(folder: Path) -> None:
    """Removes the oldest recordings beyond the limits; their names sort by time. Raises ``OSError``."""
    size = 0
    for number, path in enumerate(sorted(folder.glob(_OURS), reverse=True)):
        size += path.stat().st_size
        if number >= FILES_KEPT or (number and size > BYTES_KEPT):
            path.unlink(missing_ok=True)


def _is_shown(name: str) -> bool:
    """Other headers may tell who somebody is."""
    return name in _SHOWN or name.startswith(_SHOWN_BEGINNINGS)
