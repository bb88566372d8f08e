"""The files in deploy/examples that Node runs."""

import shutil
import subprocess
from pathlib import Path

from tests.clients.environments import node_modules
from tests.support.processes import ROOT

EXAMPLES = ROOT / "deploy" / "examples"
COMPILE = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--erasableSyntaxOnly"]


def prepared(name: str, folder: Path) -> Path:
    """The example's copy in a folder where Node finds its packages; TypeScript is checked and compiled."""
    packages = node_modules()
    (folder / "node_modules").symlink_to(packages)
    (folder / "package.json").write_text('{"type": "module"}')
    script = folder / name
    shutil.copy(EXAMPLES / name, script)
    if script.suffix != ".ts":
        return script
    compiler = [packages / ".bin" / "tsc", *COMPILE, name]
    done = subprocess.run(compiler, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    return script.with_suffix(".js")
