"""What upstreams repeat of a request is masked in what is logged of them."""

import time

import pytest

from proxy.core.call import AssistantText, Call, SystemText, Tool, ToolCall, ToolResult, UserText
from proxy.core.quotes import without_quotes

PROMPT = "Where does the old river end, and who lives beside it?"
CALL = Call(
    "r1", 1, "m", "You know all rivers of the north.",
    (
        SystemText("Be brief, they are impatient."),
        UserText(PROMPT),
        AssistantText("", (ToolCall("c1", "look", '{"river": "the old one"}'),)),
        ToolResult("c1", "look", "It ends in a lake."),
        UserText("Olá você"),
        UserText("Hi"),
    ),
    tools=(Tool("look", "Looks a river up in the great atlas."),),
)  # fmt: skip

SAID: dict[str, tuple[str, str]] = {
    "nothing of it": ("the model 'gpt-4' is overloaded, try again", "the model 'gpt-4' is overloaded, try again"),
    "the whole": (f"bad input: '{PROMPT}'", "bad input: '***'"),
    "a part": ("near 'the old river end, and' it fails", "near '***' it fails"),
    "twice": (f"{PROMPT} or {PROMPT}", "*** or ***"),
    "its beginning": ("Where does the old", "***"),
    "the system text": ("not: You know all rivers of the north.", "not: ***"),
    "arguments": ('not: {"river": "the old one"}', "not: ***"),
    "a result": ("not: It ends in a lake.", "not: ***"),
    "a tool's description": ("not: Looks a river up in the great atlas.", "not: ***"),
    "a short text as a whole": ("what is Olá você?", "what is ***?"),
    "a text too short to tell": ("Hi there", "Hi there"),
    "a few words that happen to be the same": ("the old way", "the old way"),
    "nothing at all": ("", ""),
}


@pytest.mark.parametrize(("said", "expected"), SAID.values(), ids=SAID)
def test_quotes(said: str, expected: str) -> None:
    assert expected == without_quotes(said, CALL)


@pytest.mark.parametrize("length", [16, 17, 20, 23])
def test_sixteen_characters_are_found_wherever_they_stand(length: int) -> None:
    for begin in range(len(PROMPT) - length):
        for before in range(5):
            said = "-" * before + PROMPT[begin : begin + length] + "-"
            assert "-" * before + "***-" == without_quotes(said, CALL)


def test_a_long_prompt_takes_no_time() -> None:
    long = Call("r1", 1, "m", "", (UserText("the model answered that " * 40_000),))
    started = time.perf_counter()
    without_quotes("StackSpot answered 500: something went wrong in the model, look it up " * 4, long)
    assert 0.5 > time.perf_counter() - started
