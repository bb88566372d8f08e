"""Aider edits a file of a repository by what the proxy answers, set up as deploy/examples/aider.md says."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.environments import environment, plain_environment
from tests.support.processes import ROOT, Proxy, StandIn

GUIDE = (ROOT / "deploy" / "examples" / "aider.md").read_text("utf-8")
CODE = 'def greet():\n    print("Hello!")\n'
EDITED = 'def greet(name):\n    print(f"Hello, {name}!")\n'
EDIT = f"greet.py\n```python\n<<<<<<< SEARCH\n{CODE}=======\n{EDITED}>>>>>>> REPLACE\n```\n"
PERSON = {"NAME": "A Developer", "EMAIL": "developer@example.com"}


def block(language: str) -> str:
    """The guide's one block of a language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


class Repository:
    """A scratch repository with one file, and Aider to work on it."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self._folder = folder
        self._proxy = proxy
        self._env = plain_environment(
            HOME=str(folder.parent),
            AIDER_ANALYTICS="false",
            AIDER_CHECK_UPDATE="false",
            AIDER_GITIGNORE="false",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in PERSON.items()},
        )
        self._env["PATH"] = f"{environment('aider')}{os.pathsep}{self._env['PATH']}"
        folder.mkdir()
        (folder / "greet.py").write_text(CODE)
        self.git("init", "--quiet")
        self.git("add", "greet.py")
        self.git("commit", "--quiet", "--message", "a greeting")

    @property
    def code(self) -> str:
        return (self._folder / "greet.py").read_text()

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self._folder, env=self._env, capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    def aider(self, settings: str) -> str:
        """Runs the guide's commands with these settings of the model; what Aider printed."""
        (self._folder / ".aider.model.settings.yml").write_text(settings)
        commands = block("sh").replace("http://127.0.0.1:4000", self._proxy.url)
        done = subprocess.run(
            ["sh", "-euc", commands],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path, proxy: Proxy) -> Repository:
    return Repository(tmp_path / "repository", proxy)


def test_edit(repository: Repository, stand_in: StandIn, proxy: Proxy) -> None:
    """The file is changed as the answer says and committed with the message that was asked for."""
    stand_in.script(
        "aider-1", {"text": EDIT, "delta_chars": 9, "interval_s": 0}, {"text": "greet by name", "interval_s": 0}
    )
    said = repository.aider(block("yaml"))
    assert repository.code == EDITED, said
    assert repository.git("log", "-1", "--format=%s") == "greet by name"
    edit, _ = stand_in.requests("aider-1")
    assert CODE in edit["body"]["user_prompt"]
    assert "Greet whom the caller names." in edit["body"]["user_prompt"]
    finished = proxy.events(event="request.finished", correlation_id="aider-1")
    assert [(line["model"], line["stream"], line["status"]) for line in finished] == [
        ("stackspot-ai-code", True, 200),
        ("stackspot-ai-code", False, 200),
    ]


def test_missing_correlation_id(repository: Repository) -> None:
    """Without the header Aider shows what the proxy says, and touches nothing."""
    said = repository.aider(block("yaml").partition("  extra_params:")[0])
    assert "send the header 'correlation-id' with" in " ".join(said.split())
    assert repository.code == CODE
    assert repository.git("log", "-1", "--format=%s") == "a greeting"
