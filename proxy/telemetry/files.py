"""Files that others read while the proxy runs."""

import os
from pathlib import Path

FILE_MODE = 0o640  # they may hold what people wrote


def create(path: Path, flags: int = 0) -> int:
    """A new file, open for writing. Raises ``FileExistsError`` for a path that is there already, links included."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | flags, FILE_MODE)


def write_whole(path: Path, data: bytes) -> None:
    """Whoever reads the file finds all of it or none. Raises ``OSError``, and has left nothing behind then."""
    unfinished = path.with_suffix(".part")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(create(unfinished), "wb") as file:
            file.write(data)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
