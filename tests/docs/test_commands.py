"""What the documents tell their readers to type, typed: every snippet of Python, curl and YAML, and ``make run``."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import certifi
import psutil
import pytest

from proxy.config.environment import Environment
from proxy.config.load import load
from tests.clients.environments import environment, plain_environment
from tests.docs.documents import blocks
from tests.support.processes import CREDENTIALS, ROOT, Process, Proxy, StandIn
from tests.support.provider.certificate import self_signed

ADDRESS = "http://127.0.0.1:4000"
TIMEOUT = 60
TEAM = """
  - {model_name: team-a, litellm_params: {model: stackspot/agent}}
"""


def lines_of(beginning: str) -> list[str]:
    """The commands of all blocks for a shell that begin so, whole and without their remarks."""
    commands = [command for block in blocks("sh") for command in re.split(r"(?<!\\)\n(?!  )", block)]
    return [re.sub(r"\s+# .*", "", command) for command in commands if command.startswith(beginning)]


def run(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-euc", command],
        cwd=cwd,
        env=plain_environment(**env),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.parametrize("snippet", blocks("python"))
def test_python(snippet: str, proxy: Proxy, tmp_path: Path) -> None:
    """It runs to its end and prints an answer."""
    assert ADDRESS in snippet
    python = environment("litellm") / "python" if "import litellm" in snippet else Path(sys.executable)
    script = tmp_path / "snippet.py"
    script.write_text(snippet.replace(ADDRESS, proxy.url), "utf-8")
    done = run(f"{python} {script}", tmp_path, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in ("I am the StackSpot simulator", "Here is what I found"))


@pytest.mark.parametrize("command", lines_of(f"curl -N {ADDRESS}"))
def test_curl(command: str, proxy: Proxy, tmp_path: Path) -> None:
    """It streams frames, or a part of an answer with an error where the simulator was told so."""
    done = run(command.replace(ADDRESS, proxy.url), tmp_path)
    assert done.returncode == 0, done.stderr
    frames = [line.removeprefix("data: ") for line in done.stdout.splitlines() if line.startswith("data: ")]
    assert json.loads(frames[0])["choices"][0]["delta"]["role"] == "assistant"
    assert frames[-1] == "[DONE]"


@pytest.mark.parametrize("command", lines_of(".venv/bin/python -m proxy check"))
def test_check(command: str, stand_in: StandIn, tmp_path: Path) -> None:
    """The checks pass where the credentials are right."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    python = command.replace(".venv/bin/python", sys.executable)
    done = run(python, tmp_path, PYTHONPATH=str(ROOT), **CREDENTIALS | stand_in.env)
    assert done.returncode == 0, done.stdout + done.stderr


def test_yaml(tmp_path: Path) -> None:
    """Every piece of a config.yaml loads; those without models, beside the shipped ones."""
    values = CREDENTIALS | {name: f"planted-{name}" for name in ("BILLING_KEY", "SEARCH_KEY", "GROQ_API_KEY")}
    values |= {
        name: f"planted-{name}" for name in ("LLM_API_KEY", "OPENAI_API_KEY", "FIREWORKS_AI_API_KEY", "PROXY_API_KEY")
    }
    shown = [block for block in blocks("yaml") if re.match(r"model_list|router_settings|general_settings|proxy", block)]
    assert len(shown) > 4
    models = (ROOT / "config.yaml").read_text("utf-8").partition("\nproxy:")[0] + TEAM
    made = self_signed(tmp_path)
    there = {r"/etc/ssl/\S+\.pem": certifi.where(), "/etc/tls/tls.crt": made.cert, "/etc/tls/tls.key": made.key}
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}.yaml"
        text = block if "model_list:" in block else models + block
        for path, file_here in there.items():
            text = re.sub(path, str(file_here), text)
        file.write_text(text, "utf-8")
        assert load(file, Environment(values)).models


def test_make_run(unused_tcp_port: int, tmp_path: Path) -> None:
    """``make run`` prints its address and a line to try, which works as it stands."""
    for name in ("Makefile", "proxy", "requirements.lock", "pyproject.toml", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (made,) = set(lines_of("make run"))
    process = Process(
        [*made.split(), "-o", "requirements.lock"], {"PROXY_PORT": str(unused_tcp_port), "LOG_FORMAT": ""}, tmp_path
    )
    try:
        tried = process.wait_for(r"(?s)curl -N .*?Hello!\"}]}'")[0]
        done = run(tried, tmp_path)
        assert "data: [DONE]" in done.stdout, tried + done.stderr
    finally:
        for child in psutil.Process(process.process.pid).children(recursive=True):
            child.terminate()  # make does not hand it on
        process.wait()
