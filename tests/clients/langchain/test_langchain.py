"""LangChain's ChatOpenAI against a running proxy: agents, structured output, and LangChain's own published suite.

The tests themselves are pytest files that LangChain's own environment runs, since its suite brings a pytest and
plugins of its own; each is run here, and looked at test by test.
"""

import os
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.clients.environments import environment, plain_environment
from tests.conftest import Launch
from tests.support.processes import ROOT, Proxy, StandIn

HERE = Path(__file__).parent
OPTIONS = [
    *("-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "-p", "no:cacheprovider"),
    *("-p", "tests.clients.langchain.support"),
    "--strict-markers",
    "--disable-recording",
    "--allow-hosts=127.0.0.1",
    *("-o", "asyncio_mode=auto"),
    # ChatOpenAI shares one asyncio client among all models of a process, so its event loop has to stay.
    *("-o", "asyncio_default_test_loop_scope=session", "-o", "asyncio_default_fixture_loop_scope=session"),
]
STREAM_ARGUMENTS = """
model_list:
  - {model_name: stackspot-chat, litellm_params: {model: stackspot/agent}}
proxy: {tools: {stream_arguments: true}}
"""
SKIPPED = {
    "test_image_inputs": "Model does not support image message.",
    "test_image_tool_message": "Model does not support image tool message.",
    "test_pdf_inputs": "Model does not support PDF inputs.",
    "test_pdf_tool_message": "Model does not support PDF tool message.",
    "test_audio_inputs": "Model does not support audio inputs.",
    "test_stream_time": "VCR not set up.",  # it measures LangChain's own overhead over recorded answers
}


@dataclass
class Outcome:
    """How one test ended: ``passed``, or ``skipped`` and why."""

    suite: str
    name: str
    result: str
    reason: str = ""


class LangChain:
    """LangChain's environment, ready to run files of this folder."""

    def __init__(self, proxy: Proxy, stand_in: StandIn, folder: Path) -> None:
        self._python = environment("langchain") / "python"
        self._report = folder / "report.xml"
        self._env = plain_environment(PROXY_URL=proxy.url, SIMULATOR_URL=stand_in.url)

    def run(self, *tests: str) -> list[Outcome]:
        """Runs files or single tests, none of which may fail."""
        done = subprocess.run(
            [self._python, "-m", "pytest", *OPTIONS, f"--junit-xml={self._report}"]
            + [str(HERE / test) for test in tests],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [outcome(case) for case in ElementTree.parse(self._report).iter("testcase")]


def outcome(case: ElementTree.Element) -> Outcome:
    """One test of pytest's report on a run without failures."""
    suite, name = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
    skipped = case.find("skipped")  # an expected failure, too
    if skipped is None:
        return Outcome(suite, name, "passed")
    return Outcome(suite, name, "skipped", skipped.attrib["message"])


@pytest.fixture
def langchain(proxy: Proxy, stand_in: StandIn, tmp_path: Path) -> LangChain:
    """LangChain in front of the proxy that all tests share."""
    return LangChain(proxy, stand_in, tmp_path)


@pytest.mark.parametrize("file", ["agents.py", "structured.py", "usage_and_failures.py"])
def test_behaviour(langchain: LangChain, file: str) -> None:
    """Every test of the file passes, none is skipped."""
    outcomes = langchain.run(file)
    assert {found.result for found in outcomes} == {"passed"}


def test_streamed_arguments(launch: Launch, stand_in: StandIn, tmp_path: Path) -> None:
    """Where arguments are streamed, calls, parallel calls and loops come out just the same."""
    langchain = LangChain(launch(STREAM_ARGUMENTS), stand_in, tmp_path)
    same = ["test_one_call", "test_call_without_arguments", "test_loop_of_several_steps", "test_parallel_calls"]
    outcomes = langchain.run("streamed_arguments.py", *(f"agents.py::{name}" for name in same))
    assert {found.result for found in outcomes} == {"passed"}


def test_conformance(langchain: LangChain) -> None:
    """LangChain's suite passes, answers whole and streamed; only what StackSpot cannot do is skipped."""
    outcomes = langchain.run("conformance.py")
    for suite in ("TestChatOpenAI", "TestStreaming"):
        found = [outcome for outcome in outcomes if outcome.suite == suite]
        assert Counter(one.result for one in found) == {"passed": 44, "skipped": len(SKIPPED)}
        assert {one.name: one.reason for one in found if one.result == "skipped"} == SKIPPED
