"""A lock is complete and has hashes, so whatever installs one resolves nothing: an install that does takes a newer
release as soon as there is one, and hash mode then refuses it."""

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

INSTALLERS = [ROOT / "Makefile", ROOT / "Dockerfile", ROOT / ".ci" / "run"]
LOCKS = sorted(
    file
    for file in [*ROOT.glob("*.lock"), *ROOT.glob("tests/**/*.lock")]
    if "node_modules" not in file.parts and file.name.startswith("requirements")
)


def test_every_install_of_a_lock_resolves_nothing() -> None:
    text = "\n".join(file.read_text(encoding="utf-8") for file in INSTALLERS).replace("\\\n", " ")
    installs = [line for line in text.splitlines() if re.search(r"(install|PIP_INSTALL\)).* -r ", line)]
    assert len(installs) >= 2
    assert [] == [line for line in installs if "--no-deps" not in line or "--require-hashes" not in line]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_a_lock_has_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pinned = re.findall(r"(?m)^[a-z0-9._-]+.*==.* \\\n    --hash=sha256:", text)
    assert len(pinned) == len(re.findall(r"(?m)^[a-z0-9._-]+.*==", text)) > 0
    assert "://" not in "".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
