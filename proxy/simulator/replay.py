"""Captured streams, to be answered again with their own timing.

One JSON file each, in the folder or in one below it: {"status": 200, "headers": {...}, "headers_s": seconds since the
start, "chunks": [[seconds since the start, base64], ...], "end": how, "provider": whose it is, StackSpot's if it is not
said}. Without headers_s the headers come with the first chunk. An end is clean, or close where the connection broke; of
a stream that was left nobody knows the end, so it is passed over. Further keys are ignored.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import orjson

from .script import Ending
from .strict import Invalid, read
from .wire import Step

STACKSPOT = "stackspot"
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
    headers_s: float | None = None
    end: Literal["clean", "close", "left"] = "clean"
    provider: str = STACKSPOT

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise Invalid("status", "must be between 200 and 599")


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    status: int
    headers: dict[str, str]
    headers_s: float
    chunks: tuple[tuple[float, bytes], ...]
    ending: Ending = "clean"
    provider: str = STACKSPOT

    def steps(self) -> Iterator[Step]:
        """The body, from the headers on."""
        elapsed = self.headers_s
        for at, data in self.chunks:
            if at > elapsed:
                yield at - elapsed
                elapsed = at
            yield data


def load(folder: Path) -> tuple[Recording, ...]:
    if not folder.is_dir():
        raise ReplayError(f"{folder} is not a folder")
    recordings = tuple(found for path in _files(folder) if (found := _read(path)) is not None)
    if not recordings:
        raise ReplayError(f"{folder} holds no .json file of a stream that came to its end")
    return recordings


def _files(folder: Path) -> list[Path]:
    """In the order of their names, which are times, whatever folder they are in."""
    return sorted((*folder.glob("*.json"), *folder.glob("*/*.json")), key=lambda path: path.name)


def _read(path: Path) -> Recording | None:
    """None for a stream that was not read to its end."""
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
    if file.end == "left":
        return None
    headers = {k: v for k, v in (file.headers or {}).items() if k.lower() not in _OF_THE_CONNECTION}
    first_s = chunks[0][0] if chunks else 0.0
    headers_s = first_s if file.headers_s is None else min(file.headers_s, first_s) if chunks else file.headers_s
    return Recording(path.name, file.status, headers, headers_s, chunks, file.end, file.provider)
