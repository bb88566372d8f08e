"""A browser's fetch, as deploy/examples/browser_fetch.mjs uses it: the calls are made by ``browser_fetch.mjs``."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.node.example import EXAMPLES
from tests.clients.node.support import CUT, ENDLESS, PIECES, wait_ended
from tests.support.processes import Proxy, StandIn

WORDS = [f"{number}, olá 👋 " for number in range(20)]
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "stream": [{"deltas": WORDS, "interval_s": 0.05}],
    "cut": [CUT],
    "refused": [{"refuse": "forbidden", "repeat": True}],
    "leave": [ENDLESS],
    "abort": [ENDLESS],
}


@pytest.fixture(scope="module")
def made(run_script: Callable[..., dict[str, Any]], proxy: Proxy, stand_in: StandIn) -> dict[str, Any]:
    """What each case brought."""
    for name, script in SCRIPTS.items():
        stand_in.script(f"browser-{name}", *script)
    return run_script("browser_fetch.mjs", proxy.url, str(EXAMPLES / "browser_fetch.mjs"))


def test_stream(made: dict[str, Any]) -> None:
    """Texts come over the second that they took to be made, and none is lost."""
    stream = made["stream"]
    assert "".join(stream["texts"]) == "".join(WORDS)
    assert stream["times"][-1] - stream["times"][0] > 300


def test_failure_in_mid_stream(made: dict[str, Any]) -> None:
    """A stream that breaks off throws behind its texts."""
    assert "".join(made["cut"]["texts"]) == "".join(PIECES)
    assert made["cut"]["error"]["code"] == "upstream_truncated"


def test_refusals(made: dict[str, Any]) -> None:
    """An error with a status throws it, with the proxy's code."""
    refused, wrong_id = made["refused"]["error"], made["wrong_id"]["error"]
    assert (refused["status"], refused["code"]) == (502, "upstream_forbidden")
    assert (wrong_id["status"], wrong_id["code"]) == (400, "correlation_id_invalid")


@pytest.mark.parametrize("case", ["leave", "abort"])
def test_leaving_closes_the_upstream(made: dict[str, Any], stand_in: StandIn, case: str) -> None:
    """Breaking out of the loop, like aborting, ends the generation."""
    [request] = wait_ended(stand_in, f"browser-{case}")
    assert request["end"] == "client_closed"


def test_id_of_its_own(made: dict[str, Any]) -> None:
    """Without an id given, each conversation gets one."""
    assert made["own_id"].startswith("Hello!")
