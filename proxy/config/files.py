"""Files that a configuration is read from, and whether they are still the same."""

import errno
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def digest(path: str | Path) -> str | None:
    """Of what is in a file; None for one that cannot be read. Where a path leads over links, as it does to the files
    of a mounted ConfigMap, what counts is where it ends. Raises ``OSError`` when no file at all can be read, for lack
    of descriptors or memory: that says nothing of this one."""
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        if error.errno in _EXHAUSTED:
            raise
        return None


def digests(paths: Iterable[str]) -> dict[str, str | None]:
    return {path: digest(path) for path in paths}


class Watch:
    """Whether there is something else to be read. ``read`` are files as they were read, with their digests."""

    def __init__(self, read: Mapping[str, str | None]) -> None:
        self.read = self._seen = dict(read)

    def look(self, now: dict[str, str | None]) -> bool:
        """``now`` are the same files. One that is being written looks different at every look: it is left alone until
        it looks the same at two."""
        before, self._seen = self._seen, now
        return now != self.read and now == before
