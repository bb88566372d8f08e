"""Environment variables, `.env` and mounted secrets behind one look-up."""

from collections.abc import Mapping
from pathlib import Path

from proxy.config.files import digest
from proxy.config.settings import ConfigError


class Environment:
    """Looks up variables; an empty one counts as unset, and the real environment wins over ``.env``. Any of them may
    also come as ``NAME_FILE``, the path of a mounted secret."""

    def __init__(self, real: Mapping[str, str], dotenv: Mapping[str, str | None] | None = None) -> None:
        self._real = real
        self._dotenv = dotenv or {}
        self.files: dict[str, str | None] = {}
        """Those that values were read from so far, with their digests."""

    def __call__(self, name: str) -> str | None:
        """The value, or that of the file that ``NAME_FILE`` names. Raises ``ConfigError`` for a file that
        cannot be read or is empty: a secret that is named must be there."""
        value = self._given(name)
        if value:
            return _one_line(name, value)
        path = self._given(f"{name}_FILE")
        if not path:
            return None
        self.files[path] = digest(path)
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_FILE: {path} cannot be read: {error}") from None
        if not text:
            raise ConfigError(f"{name}_FILE: {path} is empty: write the value of {name} into it, or unset {name}_FILE")
        return _one_line(f"{name}_FILE: {path}", text)

    def beginning(self, prefix: str) -> dict[str, str]:
        """All variables whose names begin with ``prefix``."""
        names = sorted({name for given in (self._real, self._dotenv) for name in given if name.startswith(prefix)})
        return {name: value for name in names if (value := self(name)) is not None}

    def origin(self, name: str) -> str:
        """Where the value of a variable came from, for people."""
        for given in (name, f"{name}_FILE"):
            if self._given(given):
                return f"{'environment' if (self._real.get(given) or '').strip() else '.env'} {given}"
        return "default"

    def _given(self, name: str) -> str:
        return (self._real.get(name) or "").strip() or (self._dotenv.get(name) or "").strip()


def _one_line(where: str, value: str) -> str:
    if not value.isprintable():
        raise ConfigError(f"{where}: it holds a line break or another control character")
    return value
