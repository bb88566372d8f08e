"""Where clients are installed whose dependencies clash with the others'."""

import os
from pathlib import Path

from tests.support.tools import CLIENTS, ENVIRONMENTS, require


def environment(name: str) -> Path:
    """The folder of the commands of one in ``.venv-clients``."""
    require(name)
    return ENVIRONMENTS / name / "bin"


def node_modules() -> Path:
    """The packages for Node."""
    require("node", "node packages")
    return CLIENTS / "node" / "node_modules"


def plain_environment(**more: str) -> dict[str, str]:
    """The variables that a client's process gets: none that say where services are."""
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")} | more
