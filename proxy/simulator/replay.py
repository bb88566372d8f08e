"""Captured streams, to be answered again with their own timing.

One JSON file each: {"status": 200, "headers": {...}, "chunks": [[seconds since the start, base64], ...]}.
Further keys are ignored.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import orjson

from .strict import Invalid, read
from .wire import Step

_OF_THE_CONNECTION = {
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
}


class ReplayError(ValueError):
    """A folder or a file that cannot be replayed; the message names it."""


@dataclass(frozen=True, slots=True)
class _File:
    chunks: tuple[tuple[float, str], ...]
    status: int = 200
    headers: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise Invalid("status", "must be between 200 and 599")


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    status: int
    headers: dict[str, str]
    chunks: tuple[tuple[float, bytes], ...]

    @property
    def first_byte_s(self) -> float:
        return self.chunks[0][0] if self.chunks else 0.0

    def steps(self) -> Iterator[Step]:
        """The body, from the first byte on."""
        elapsed = self.first_byte_s
        for at, data in self.chunks:
            if at > elapsed:
                yield at - elapsed
                elapsed = at
            yield data


def load(folder: Path) -> tuple[Recording, ...]:
    if not folder.is_dir():
        raise ReplayError(f"{folder} is not a folder")
    recordings = tuple(_read(path) for path in sorted(folder.glob("*.json")))
    if not recordings:
        raise ReplayError(f"{folder} holds no .json file")
    return recordings


def _read(path: Path) -> Recording:
    known = {field.name for field in fields(_File)}
    try:
        value = orjson.loads(path.read_bytes())
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if name in known}
        file = read(_File, value)
        chunks = tuple((at, base64.b64decode(data, validate=True)) for at, data in file.chunks)
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from error
    except binascii.Error as error:
        raise ReplayError(f"{path}: chunks: not base64: {error}") from error
    except ValueError as error:  # not JSON, or not of this shape
        raise ReplayError(f"{path}: {error}") from error
    headers = {k: v for k, v in (file.headers or {}).items() if k.lower() not in _OF_THE_CONNECTION}
    return Recording(path.name, file.status, headers, chunks)
