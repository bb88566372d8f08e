"""Environment variables, `.env` and mounted secrets behind one look-up."""

from collections.abc import Mapping
from pathlib import Path

from proxy.config.settings import ConfigError

SECRET_FILES = frozenset({"CLIENT_ID", "CLIENT_SECRET", "REALM", "GENAI_AGENT_ID"})
"""Variables that may also come as ``NAME_FILE``, the path of a mounted secret."""


class Environment:
    """Looks up variables; an empty one counts as unset, and the real environment wins over ``.env``."""

    def __init__(self, real: Mapping[str, str], dotenv: Mapping[str, str | None] | None = None) -> None:
        self._real = real
        self._dotenv = dotenv or {}

    def __call__(self, name: str) -> str | None:
        """The value, or that of the file that ``NAME_FILE`` names. Raises ``ConfigError`` for a file that
        cannot be read."""
        value = (self._real.get(name) or self._dotenv.get(name) or "").strip()
        if not value.isprintable():
            raise ConfigError(f"{name}: it holds a line break or another control character")
        if value or name not in SECRET_FILES:
            return value or None
        path = self._real.get(f"{name}_FILE") or self._dotenv.get(f"{name}_FILE")
        if not path:
            return None
        try:
            return Path(path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}_FILE: {path} cannot be read: {error}") from None

    def origin(self, name: str) -> str:
        """Where the value of a variable came from, for people."""
        if self._real.get(name):
            return f"environment {name}"
        if self._dotenv.get(name):
            return f".env {name}"
        return f"environment {name}_FILE"
