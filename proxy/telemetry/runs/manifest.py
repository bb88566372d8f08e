"""What a run was made with: for comparing its figures with another's."""

import hashlib
import platform
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import orjson

from proxy import __version__
from proxy.config import Config
from proxy.telemetry.encoding import iso

_NO_SETTINGS = frozenset({"source", "left_out", "warnings", "origins", "path"})
_SHA = re.compile(r"[0-9a-f]{40,64}")


def new_run_id() -> str:
    """Names sort by the time of their run."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def manifest(run_id: str, started: float, config: Config) -> dict[str, object]:
    """``started`` is in Unix seconds."""
    return {
        "run_id": run_id,
        "started_at": iso(started),
        "proxy_version": __version__,
        "git_sha": git_sha(Path(__file__).parents[3]) or git_sha(Path.cwd()),
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "dependencies": dict(sorted((found.name, found.version) for found in distributions())),
        "config_digest": config_digest(config),
        "models": list(dict.fromkeys(model.name for model in config.models)),
    }


def config_digest(config: Config) -> str:
    """The same for the same settings, wherever they came from. What is secret does not enter into it."""
    return "sha256:" + hashlib.sha256(orjson.dumps(_plain(config), option=orjson.OPT_SORT_KEYS)).hexdigest()


def git_sha(folder: Path) -> str | None:
    """The commit that is checked out in ``folder``; read from git's files, since git itself may not be there."""
    found = folder / ".git"
    try:
        if found.is_file():  # of a worktree, or a submodule
            found = folder / found.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (found / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref:"):
            head = _resolve(found, head.removeprefix("ref:").strip())
    except (OSError, UnicodeDecodeError):
        return None
    return head if _SHA.fullmatch(head) else None


def _resolve(git: Path, ref: str) -> str:
    shared = git / "commondir"
    homes = [git, git / shared.read_text(encoding="utf-8").strip()] if shared.is_file() else [git]
    for home in homes:
        if (home / ref).is_file():
            return (home / ref).read_text(encoding="utf-8").strip()
        packed = home / "packed-refs"
        lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
        for line in lines:
            if line.endswith(f" {ref}"):
                return line.partition(" ")[0]
    return ""


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return dict(_shown(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _shown(value: Any) -> Iterator[tuple[str, object]]:
    """The fields that ``repr`` shows: the others are secret."""
    for field in fields(value):
        if field.repr and field.name not in _NO_SETTINGS:
            yield field.name, _plain(getattr(value, field.name))
