"""What is told of a run's settings and code."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config import Config, Model
from proxy.config.settings import ApiKey, Timeouts
from proxy.telemetry.runs.manifest import config_digest, git_sha
from tests.support.processes import ROOT

SHA = "0123456789abcdef0123456789abcdef01234567"
MODEL = Model("m", "stackspot", "agent", client_secret="one", api_key="one")
CONFIG = Config(models=(MODEL,), master_key="one", redis_url="redis://one", api_keys=(ApiKey("app", "one"),))

SAME: dict[str, Config] = {
    "other secrets": replace(
        CONFIG,
        models=(replace(MODEL, client_secret="two", api_key="two"),),
        master_key="two",
        redis_url="redis://two",
        api_keys=(ApiKey("app", "two"),),
        otel={"OTEL_EXPORTER_OTLP_HEADERS": "x=two"},
    ),
    "another place": replace(CONFIG, source="elsewhere.yaml", origins={"host": "flag"}, warnings=("w",)),
}
OTHER: dict[str, Config] = {
    "another model": replace(CONFIG, models=(replace(MODEL, name="n"),)),
    "one more model": replace(CONFIG, models=(MODEL, MODEL)),
    "another time-out": replace(CONFIG, timeouts=Timeouts(idle=1)),
    "another key": replace(CONFIG, api_keys=(ApiKey("other", "one"),)),
}


@pytest.mark.parametrize("config", SAME.values(), ids=SAME)
def test_the_same_digest(config: Config) -> None:
    assert config_digest(CONFIG) == config_digest(config)


@pytest.mark.parametrize("config", OTHER.values(), ids=OTHER)
def test_another_digest(config: Config) -> None:
    assert config_digest(CONFIG) != config_digest(config)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


REF = "ref: refs/heads/main\n"
CHECKOUTS: dict[str, dict[str, str]] = {
    "a branch": {".git/HEAD": REF, ".git/refs/heads/main": f"{SHA}\n"},
    "a packed branch": {".git/HEAD": REF, ".git/packed-refs": f"# pack-refs\n{'f' * 40} refs/tags/x\n{SHA} refs/heads/main\n"},
    "no branch": {".git/HEAD": f"{SHA}\n"},
    "a worktree": {
        ".git": "gitdir: main/.git/worktrees/w\n",
        "main/.git/worktrees/w/HEAD": REF,
        "main/.git/worktrees/w/commondir": "../..\n",
        "main/.git/refs/heads/main": f"{SHA}\n",
    },
}  # fmt: skip
NONE: dict[str, dict[str, str]] = {
    "no checkout": {},
    "nothing committed yet": {".git/HEAD": REF},
    "a broken one": {".git/HEAD": "nonsense"},
    "a lost worktree": {".git": "gitdir: gone\n"},
}


@pytest.mark.parametrize("files", CHECKOUTS.values(), ids=CHECKOUTS)
def test_the_commit(tmp_path: Path, files: dict[str, str]) -> None:
    assert SHA == git_sha(write(tmp_path, files))


@pytest.mark.parametrize("files", NONE.values(), ids=NONE)
def test_no_commit(tmp_path: Path, files: dict[str, str]) -> None:
    assert git_sha(write(tmp_path, files)) is None


def test_git_says_the_same() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == git_sha(ROOT)
