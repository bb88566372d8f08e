"""The shape of the code: imports point one way, and the core is pure."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy

ROOT = Path(proxy.__file__).parent
# Each may import those behind it.
LAYERS = ("cli", "commands", "check", "local", "server", "telemetry", "dispatch", "config", "core", "errors")
PURE = {"asyncio", "aiohttp", "socket", "ssl", "time", "datetime", "random", "secrets", "threading", "os", "pathlib"}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    above = LAYERS[: LAYERS.index(layer)]
    files = [ROOT / f"{layer}.py", *(ROOT / layer).rglob("*.py")]
    for file in (file for file in files if file.is_file()):
        for name in imports(ast.parse(file.read_text())):
            parts = name.split(".")
            assert not (parts[0] == "proxy" and parts[1:2] and parts[1] in above), f"{file} imports {name}"


@pytest.mark.parametrize("file", sorted((ROOT / "core").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_core_is_pure(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert not PURE & {name.split(".")[0] for name in imports(tree)}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]


def test_the_simulator_stands_alone() -> None:
    for file in (ROOT / "simulator").rglob("*.py"):
        assert not [name for name in imports(ast.parse(file.read_text())) if name.startswith("proxy")]


def test_what_is_not_python_is_packaged_as_well() -> None:
    """Or an installed proxy would miss it."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    declared = project["tool"]["setuptools"]["package-data"]
    packaged = {
        file
        for package, globs in declared.items()
        for name in globs
        for file in (ROOT.parent / package.replace(".", "/")).glob(name)
    }
    assert {file for file in ROOT.rglob("*.*") if file.is_file() and file.suffix not in (".py", ".pyc")} == packaged
