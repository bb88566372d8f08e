"""The command line itself: its help, what it makes of wrong usage, `models`, and prompts from a folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import run
from tests.cli.terminal import Terminal
from tests.cli.test_check import CHAT, GPT, KEY, models
from tests.support.processes import CREDENTIALS, ROOT, StandIn

COMMANDS = ("serve", "check", "models", "chat", "simulator")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_tells_what_there_is(tmp_path: Path, command: str) -> None:
    ended = run(tmp_path, *([command] if command else []), "--help", env={})
    assert (0, "") == (ended.code, ended.err)
    assert ended.out.startswith("usage: stackspot-proxy")
    wanted = {
        "": COMMANDS,
        "chat": ("--base-url", "standard input", "examples:"),
        "check": ("--prompts", "costs quota"),
    }
    assert [] == [text for text in wanted.get(command, ()) if text not in ended.out]


def test_help_imports_none_of_what_serves(tmp_path: Path) -> None:
    code = "import sys; from proxy.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(sorted({'aiohttp', 'uvloop', 'structlog', 'yaml'} & set(sys.modules)))"
    env = {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert "[]" == told.stdout.splitlines()[-1]


WRONG: dict[str, tuple[list[str], str]] = {
    "a slip": (["chta"], "there is no command 'chta'; did you mean 'chat'?"),
    "no command": (["xyz"], "there are serve, check, models, chat, simulator"),
    "an unknown flag": (["--prot", "1"], "unrecognized arguments: --prot 1"),
    "no port": (["--port", "70000"], "a port is between 0 and 65535, not '70000'"),
    "what excludes each other": (["check", "--no-network", "--prompts", "."], "--no-network forbids"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(tmp_path: Path, case: str) -> None:
    arguments, reason = WRONG[case]
    ended = run(tmp_path, *arguments, env={})
    assert (2, "") == (ended.code, ended.out)
    assert reason in ended.err


def test_models(tmp_path: Path) -> None:
    """Names and aliases with provider and target; what is left out is told apart from them."""
    aliased = CHAT.replace("chat\n", "chat\n    aliases: [stackspot, 'claude-*']\n")
    entries = (
        aliased,
        GPT.format(base="http://127.0.0.1:1/v1"),
        "  - {model_name: g, litellm_params: {model: groq/x}}\n",
    )
    (tmp_path / "config.yaml").write_text(models(*entries))
    ended = run(tmp_path, "models", env=CREDENTIALS | KEY)
    assert 0 == ended.code
    assert [
        ["MODEL", "PROVIDER", "TARGET", "ALIASES"],
        ["chat", "stackspot", "agent", "stackspot, claude-*"],
        ["gpt", "openai", "gpt-4", "-"],
    ] == [line.split(None, 3) for line in ended.out.splitlines()]
    assert "model 'g' has no api_key (GROQ_API_KEY); the model is left out" in ended.err


def test_models_without_credentials(tmp_path: Path) -> None:
    ended = run(tmp_path, "models", env={})
    assert (1, "") == (ended.code, ended.out)
    assert "Set CLIENT_ID" in ended.err


def test_prompts_of_a_folder(tmp_path: Path, stand_in: StandIn) -> None:
    """One answer of every model to each; the shipped ones can be read."""
    shipped = sorted((ROOT / "tests" / "prompts").glob("*.txt"))
    assert 3 <= len(shipped)
    (tmp_path / "config.yaml").write_text(models(CHAT, CHAT.replace("name: chat", "name: other")))
    stand_in.settings(interval_s=0)
    before = stand_in.stats()["generations"]
    try:
        ended = run(tmp_path, "check", "--prompts", str(shipped[0].parent), env=CREDENTIALS | stand_in.env)
    finally:
        stand_in.settings(interval_s=0.02)
    assert (0, 2 * len(shipped)) == (ended.code, stand_in.stats()["generations"] - before)
    for file in shipped:
        for model in ("chat", "other"):
            assert file.read_text(encoding="utf-8")[:20] in ended.line(f"  model {model}, {file.stem}: ")


def test_the_report_has_colours_at_a_terminal(tmp_path: Path, stand_in: StandIn) -> None:
    entries = (CHAT, CHAT.replace("agent}", "agent, client_secret: wrong-secret}"))
    (tmp_path / "config.yaml").write_text(models(*entries))
    terminal = Terminal(tmp_path, "check", env=CREDENTIALS | stand_in.env)
    assert 1 == terminal.end()
    assert "  \x1b[32mok\x1b[0m " in terminal.shown
    assert "  \x1b[31mFAILED\x1b[0m " in terminal.shown
    assert "\x1b" not in run(tmp_path, "check", env=CREDENTIALS | stand_in.env).out


@pytest.mark.parametrize("content", [None, "", b"\xff"], ids=["none", "empty", "no text"])
def test_prompts_that_cannot_be_used(tmp_path: Path, content: str | bytes | None) -> None:
    (tmp_path / "config.yaml").write_text(models(CHAT))
    folder = tmp_path / "prompts"
    if content is not None:
        folder.mkdir()
        (folder / "a.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    ended = run(tmp_path, "check", "--prompts", "prompts", env=CREDENTIALS)
    assert (1, "", True) == (ended.code, ended.out, ended.err.startswith("stackspot-proxy: --prompts prompts: "))
    shutil.rmtree(folder, ignore_errors=True)
