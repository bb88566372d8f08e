"""The files in deploy/examples, run as they stand: an agent's loop with a tool in each client, streamed."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import environment, plain_environment
from tests.clients.node.example import EXAMPLES, prepared
from tests.support.processes import Proxy, StandIn

pytestmark = pytest.mark.slow

CALL = {"text": 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife"}\nFUNCTION_CALL_END', "interval_s": 0}
WORDS = [f"{number} " for number in range(20)]
ANSWER = {"deltas": WORDS, "interval_s": 0.05}
TEXT = "".join(WORDS)
CUT = {"deltas": ["One ", "two "], "interval_s": 0.02, "cut": {"how": "close", "after": 2}}
REFUSED = {"refuse": "forbidden", "repeat": True}
_COUNT = itertools.count(1)


@dataclass
class Ended:
    """What an example did: its output by the moment it came, and how it ended."""

    correlation_id: str
    code: int
    pieces: list[tuple[float, str]]
    errors: str

    @property
    def output(self) -> str:
        return "".join(text for _, text in self.pieces)


def python(command: Path) -> Callable[[str, Path], list[Any]]:
    return lambda name, folder: [command, EXAMPLES / name]


def own(client: str) -> Callable[[str, Path], list[Any]]:
    """Python of the client's own environment."""
    return lambda name, folder: [environment(client) / "python", EXAMPLES / name]


def node(name: str, folder: Path) -> list[Any]:
    return ["node", prepared(name, folder)]


CLIENTS = {
    "openai_python.py": python(Path(sys.executable)),
    "pydantic_ai_agent.py": python(Path(sys.executable)),
    "langchain_agent.py": own("langchain"),
    "llama_index_agent.py": own("llama_index"),
    "litellm_sdk.py": own("litellm"),
    "openai_node.mjs": node,
    "vercel_ai_sdk.mjs": node,
    "agent_loop.ts": node,
}
Run = Callable[..., Ended]


@pytest.fixture
def run(proxy: Proxy, stand_in: StandIn, tmp_path: Path) -> Run:
    """Runs a command while StackSpot says what it is told; for the proxy that all tests share."""

    def run(command: list[Any], *answers: dict[str, Any]) -> Ended:
        correlation_id = f"example-{next(_COUNT)}"
        stand_in.script(correlation_id, *answers)
        errors = tmp_path / f"{correlation_id}.txt"
        env = plain_environment(
            PROXY_URL=proxy.url,
            CORRELATION_ID=correlation_id,
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            PYTHONWARNINGS="ignore",
        )
        with (
            errors.open("wb") as stderr,
            subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr) as process,
        ):
            assert process.stdout is not None
            pieces = []
            while piece := process.stdout.read1():  # type: ignore[attr-defined]
                pieces.append((time.monotonic(), piece.decode()))
        return Ended(correlation_id, process.returncode, pieces, errors.read_text("utf-8"))

    return run


def assert_streamed(ended: Ended) -> None:
    """The text came over the second that it took to be made, not in a heap."""
    assert ended.code == 0, ended.errors
    times = [moment for moment, text in ended.pieces if text.strip()]
    assert times[-1] - times[0] > 0.3


@pytest.mark.parametrize("name", CLIENTS)
def test_loop(name: str, run: Run, stand_in: StandIn, proxy: Proxy, tmp_path: Path) -> None:
    """The tool is called, its result goes back under the same correlation id, and the answer is streamed."""
    more = [{"text": "Whole.", "interval_s": 0}, ANSWER] if name == "litellm_sdk.py" else []
    ended = run(CLIENTS[name](name, tmp_path), CALL, ANSWER, *more)
    assert_streamed(ended)
    assert TEXT in ended.output
    prompts = [request["body"]["user_prompt"] for request in stand_in.requests(ended.correlation_id)]
    assert len(prompts) == 2 + len(more)
    assert "Recife: 25 °C, sunny" not in prompts[0]
    assert "Recife: 25 °C, sunny" in prompts[1]
    finished = proxy.events(event="request.finished", correlation_id=ended.correlation_id)
    assert [line["status"] for line in finished] == [200] * len(prompts)


@pytest.mark.parametrize("name", CLIENTS)
def test_failure_in_mid_stream(name: str, run: Run, tmp_path: Path) -> None:
    """A stream that breaks off is an error, behind the text that came before; nothing is made up."""
    ended = run(CLIENTS[name](name, tmp_path), CALL, CUT)
    assert (ended.code, ended.output.strip()) == (1, "One two")
    assert "broke off in the middle of its answer" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.parametrize("name", CLIENTS)
def test_refusal(name: str, run: Run, stand_in: StandIn, tmp_path: Path) -> None:
    """What no other try can mend is told at once, in the proxy's words, and not sent again."""
    ended = run(CLIENTS[name](name, tmp_path), REFUSED)
    assert (ended.code, ended.output.strip()) == (1, "")
    assert "is not shared with the proxy's StackSpot client" in ended.errors
    assert "Traceback" not in ended.errors
    assert len(stand_in.requests(ended.correlation_id)) in (1, 2)  # the second with a new login


def test_curl(run: Run) -> None:
    """curl shows the frames as they come."""
    ended = run([EXAMPLES / "curl.sh"], ANSWER)
    assert_streamed(ended)
    frames = [line for line in ended.output.splitlines() if line]
    assert all(frame.startswith("data: ") for frame in frames)
    assert frames[-1] == "data: [DONE]"
    assert '"choices":[],"usage":{' in frames[-2]


def test_curl_refusal(run: Run) -> None:
    """An error is printed in OpenAI's shape and ends curl with its exit code for it."""
    ended = run([EXAMPLES / "curl.sh"], REFUSED)
    assert ended.code == 22
    assert '"code":"upstream_forbidden"' in ended.output
