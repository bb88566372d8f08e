"""An answer that is kept tells what was told, in either form."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.answer import Answer, Finish, Usage
from proxy.core.callers.chat import ChatStream, ChatWhole
from proxy.core.kept import Kept, Tape
from proxy.core.turn import Turn
from tests.support.answers import Notes
from tests.support.calls import a_call

USAGE = Usage(3, 5, cached=1, estimated=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.text(min_size=1)),
        st.tuples(st.just("call"), st.sampled_from("ab")),
        st.tuples(st.just("arguments"), st.text(min_size=1)),
    )
)


def tell(answer: Answer, steps: list[tuple[str, str]]) -> None:
    """As an upstream's reader would: arguments only behind a call."""
    calling = 0
    for kind, word in steps:
        if kind == "text":
            answer.text(word)
            calling = 0
        elif kind == "call":
            answer.call(f"call_{word}", word)
            calling = 1
        elif calling:
            answer.arguments(word)


def taped(steps: list[tuple[str, str]], limit: int = 10**6, reason: str = "stop") -> Kept | None:
    tape = Tape(ChatWhole(a_call()), limit)
    tell(tape, steps)
    return tape.kept(Finish(reason, USAGE, "model"), "p/t", "")  # type: ignore[arg-type]


@settings(deadline=None)
@given(STEPS)
def test_it_tells_what_was_told(steps: list[tuple[str, str]]) -> None:
    kept = taped(steps)
    assert kept is not None
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=Kept)
    first, second = Notes(), Notes()
    tell(first, steps)
    again.tell(second, stream=True)
    assert (first.told, first.ids) == (second.told, second.ids)
    assert (USAGE, "model", "stop") == (again.usage, again.model, again.reason)


@pytest.mark.parametrize("stream", [True, False])
def test_a_turn_gives_it_in_the_form_asked_for(stream: bool) -> None:
    kept = taped([("text", "Hi"), ("call", "a"), ("arguments", "{}")], reason="tool_calls")
    assert kept is not None
    turn = Turn(a_call(stream=stream), ChatStream if stream else ChatWhole)  # type: ignore[arg-type]
    out = turn.replay(kept)
    assert out.endswith(b"data: [DONE]\n\n") if stream else b'"total_tokens":8' in out
    assert b'"call_a"' in out
    assert (0, 0, USAGE, ["a"]) == (turn.rounds, turn.events, turn.usage, [call.name for call in turn.calls])
    assert turn.chunks


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_one_that_was_cut_is_not_kept(reason: str) -> None:
    assert taped([("text", "Hi")], reason=reason) is None


def test_one_that_is_too_large_is_not_kept_nor_held() -> None:
    assert taped([("text", "x" * 10)], limit=10) is not None
    assert taped([("text", "x" * 10), ("call", "a")], limit=10) is None
    tape = Tape(ChatWhole(a_call()), 10)
    for _ in range(1000):
        tape.text("x" * 100)
    assert not tape._told


def test_relayed_bytes_are_given_as_they_came() -> None:
    tape = Tape(ChatStream(a_call(stream=True)), 100)
    tape.frames(b"data: 1\n\n", 1)
    tape.frames(b"data: [DONE]\n\n", 1)
    kept = tape.kept(Finish("stop", USAGE), "p/t", "")
    assert kept is not None
    assert kept.relayed
    turn = Turn(a_call(stream=True), ChatStream)  # type: ignore[arg-type]
    assert b"data: 1\n\ndata: [DONE]\n\n" == turn.replay(kept)
    assert 2 == turn.chunks
