"""Conversations that are too long: results are cut first, then the oldest turns go."""

import itertools

import pytest

from proxy.core.call import AssistantText, Entry, SystemText, ToolCall, ToolResult, UserText
from proxy.core.prompt import render
from proxy.core.trim import size, trim
from tests.support.calls import WEATHER, a_call


def step(number: int, length: int = 100) -> tuple[Entry, ...]:
    """A question, a call, its result, an answer."""
    call = ToolCall(f"call_{number}", "get_weather", "{}")
    return (
        UserText(f"question {number}"),
        AssistantText("", (call,)),
        ToolResult(call.id, call.name, f"result {number} " + "r" * length),
        AssistantText(f"answer {number}"),
    )


def steps(count: int, length: int = 100) -> tuple[Entry, ...]:
    return tuple(itertools.chain.from_iterable(step(number, length) for number in range(count)))


def test_what_fits_is_left_alone() -> None:
    history = steps(3)
    assert history is trim(history, size(history)).history


def test_the_largest_results_are_cut_in_the_middle_first() -> None:
    small, large = ToolResult("1", "a", "s" * 3000), ToolResult("2", "b", "H" + "x" * 300_000 + "T")
    trimmed = trim((UserText("q"), small, large), 100_000)
    assert 0 == trimmed.dropped
    assert small == trimmed.history[1]
    cut = trimmed.history[2]
    assert isinstance(cut, ToolResult)
    assert cut.text.startswith("Hx")
    assert cut.text.endswith("xT")
    assert "characters left out" in cut.text
    assert size(trimmed.history) <= 100_000


def test_then_the_oldest_turns_go_calls_with_their_results() -> None:
    history = steps(100)
    trimmed = trim(history, 10_000)
    assert 0 < trimmed.dropped < len(history)
    assert history[trimmed.dropped :] == trimmed.history
    assert size(trimmed.history) <= 10_000
    assert not isinstance(trimmed.history[0], ToolResult)


def test_the_last_turn_stays_whatever_its_size() -> None:
    last = UserText("x" * 50_000)
    assert (last,) == trim((*steps(20), last), 10_000).history


def test_turns_go_in_large_steps() -> None:
    """So the prefix of the prompt changes once in a while, not at every turn."""
    dropped = [trim(steps(count), 10_000).dropped for count in range(20, 80)]
    assert dropped == sorted(dropped)
    assert 12 >= len(set(dropped))


def test_results_are_cut_to_the_same_length_for_several_turns() -> None:
    def cut(count: int) -> int:
        first = trim(steps(count, 20_000), 200_000).history[2]
        assert isinstance(first, ToolResult)
        return len(first.text)

    assert 4 >= len({cut(count) for count in range(11, 60)})


@pytest.mark.parametrize("room", [0, -5, 1])
def test_no_room_at_all(room: int) -> None:
    assert 1 <= len(trim(steps(5), room).history) < 20


def test_the_model_is_told() -> None:
    call = a_call(history=(*steps(100), UserText("And now?")), tools=(WEATHER,))
    text = render(call, b"s", size_limit=12_000).text
    assert len(text) <= 12_000
    assert "oldest messages are left out here" in text
    assert "question 0\n" not in text
    assert "And now?" in text


def test_a_system_text_in_the_middle_counts() -> None:
    assert 0 < size([SystemText("abc")])
