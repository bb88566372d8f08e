"""What the agent says to these clients and what they have to make of it, and how its answers ended."""

import time
from typing import Any

from tests.support.processes import StandIn

TOKENS = {"input": 12, "output": 7}
USAGE = [12, 7, 19]
GREETING = "Olá, tudo bem? 👋"
REPORT = {"cidade": "São Paulo", "graus": 25}
GOOD_JSON = '{"cidade": "São Paulo", "graus": 25}'
BAD_JSON = '{"cidade": "São Paulo", "graus": "vinte e cinco"}'
PIECES = ["One ", "two ", "three "]
CUT = {"deltas": PIECES, "interval_s": 0.02, "cut": {"how": "close", "after": 3}}
ENDED = CUT | {"cut": {"how": "clean", "after": 3}}  # as HTTP wants it, but without StackSpot's last event
ENDLESS = {"deltas": ["more "] * 1000, "interval_s": 0.02}


def say(text: str) -> dict[str, Any]:
    """An answer with this text, as fast as it goes."""
    return {"text": text, "interval_s": 0, "tokens": TOKENS}


def block(name: str, arguments: str | None) -> str:
    """A tool call as an agent of StackSpot writes it; None leaves its arguments out."""
    line = "" if arguments is None else f"arguments: {arguments}\n"
    return f"FUNCTION_CALL_START\n{name}\n{line}FUNCTION_CALL_END"


ONE_CALL = block("buscar_cidade", '{"nome": "SP"}')
TWO_CALLS = "\n".join(block("buscar_tempo", f'{{"id": "{city}"}}') for city in ("BR-SP", "BR-DF"))
NO_ARGUMENTS = block("listar_cidades", None)
FINAL_TEXT = "Faz 25°C nas duas."

# Three steps: one call, two calls at once, the last word.
LOOP = [say(ONE_CALL), say(TWO_CALLS), say(FINAL_TEXT)]
LOOP_CALLS: list[list[Any]] = [
    ["buscar_cidade", {"nome": "SP"}],
    ["buscar_tempo", {"id": "BR-SP"}],
    ["buscar_tempo", {"id": "BR-DF"}],
]


def wait_ended(stand_in: StandIn, correlation_id: str) -> list[dict[str, Any]]:
    """The simulator's records under an id, once the last has ended."""
    deadline = time.monotonic() + 5
    while not (found := stand_in.requests(correlation_id)) or found[-1]["end"] is None:
        assert time.monotonic() < deadline, f"{correlation_id} goes on: {found}"
        time.sleep(0.05)
    return found
