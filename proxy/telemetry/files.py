"""Files that others read while the proxy runs."""

from pathlib import Path

FILE_MODE = 0o640  # they may hold what people wrote


def write_whole(path: Path, data: bytes) -> None:
    """Whoever reads the file finds all of it or none. Raises ``OSError``, and has left nothing behind then."""
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_bytes(data)
        unfinished.chmod(FILE_MODE)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
