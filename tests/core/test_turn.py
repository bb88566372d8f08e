"""A turn over its rounds: when it is committed, when it asks again, how it ends."""

import json

from proxy.core.callers.chat import ChatStream, ChatWhole
from proxy.core.dialect import Outgoing
from proxy.core.turn import RoundEnd, Turn
from proxy.core.upstreams.stackspot import StackSpot
from proxy.errors import FirstTokenTimeout, ToolCallUnreadable, UpstreamTruncated
from tests.core.test_chat_answer import deltas, frames
from tests.core.test_stackspot import END, sse
from tests.support.calls import WEATHER, a_call

AGENT = StackSpot("m", "01AGENT", b"secret")
BROKEN = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the "old" town"}\nFUNCTION_CALL_END'
GOOD = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Rome"}\nFUNCTION_CALL_END'


def a_turn(*, stream: bool = True) -> tuple[Turn, Outgoing]:
    call = a_call("Weather?", tools=(WEATHER,), stream=stream)
    turn = Turn(call, ChatStream(call) if stream else ChatWhole(call))
    return turn, turn.begin(AGENT)


def say(turn: Turn, text: str) -> tuple[bytes, RoundEnd]:
    return turn.receive_data(sse({"message": text}, END)), turn.receive_eof()


def test_empty_deltas_do_not_commit() -> None:
    turn, _ = a_turn()
    assert b"" == turn.receive_data(sse({"message": ""}, {"message": "\n"}))
    assert not turn.committed
    assert turn.receive_data(sse({"message": "x"}))
    assert turn.committed


def test_a_broken_call_is_repaired_in_a_hidden_round() -> None:
    turn, _ = a_turn()
    out, end = say(turn, BROKEN)
    assert b"" == out == end.out
    assert end.again is not None
    prompt = json.loads(end.again.body)["user_prompt"]
    assert BROKEN.splitlines()[2] in prompt
    assert "unexpected 'old'" in prompt
    out, end = say(turn, "Sorry! " + "\n" + GOOD)
    calls = [call for delta in deltas(out) for call in delta.get("tool_calls", [])]
    assert '{"city": "Rome"}' == calls[1]["function"]["arguments"]
    assert not any(delta.get("content") for delta in deltas(out)), "what is said around a repair is not the answer"
    assert RoundEnd(b"") == end
    assert [("get_weather", True)] == [(call.name, call.repaired) for call in turn.calls]
    assert 2 == turn.rounds
    assert (turn.usage.prompt, turn.usage.completion) == (8, 4), "the hidden round is counted"


def test_one_repair_and_no_more() -> None:
    turn, _ = a_turn()
    say(turn, BROKEN)
    _, end = say(turn, BROKEN)
    assert isinstance(end.error, ToolCallUnreadable)
    assert 1 == turn.invalid_calls
    assert b"" == turn.fail(end.error, opened=False), "nothing went out: the error becomes the response"


def test_a_repair_without_a_call_is_an_error() -> None:
    turn, _ = a_turn()
    say(turn, BROKEN)
    _, end = say(turn, "I cannot.")
    assert isinstance(end.error, ToolCallUnreadable)


def test_text_before_a_broken_call_goes_out_once() -> None:
    turn, _ = a_turn()
    out, end = say(turn, "One moment.\n" + BROKEN)
    assert "One moment." == "".join(delta.get("content", "") for delta in deltas(out))
    assert end.again
    out, _ = say(turn, GOOD)
    assert not any(delta.get("content") for delta in deltas(out))
    assert "tool_calls" == frames(out)[-2]["choices"][0]["finish_reason"]


def test_ids_of_calls_differ_between_rounds() -> None:
    turn, _ = a_turn()
    first, end = say(turn, GOOD + "\n" + BROKEN)
    assert end.again
    second, _ = say(turn, GOOD)
    opened = [call for delta in deltas(first) + deltas(second) for call in delta.get("tool_calls", []) if "id" in call]
    assert [0, 1] == [call["index"] for call in opened]
    assert 2 == len({call["id"] for call in opened})


def test_a_failure_gives_out_what_was_held_back_first() -> None:
    turn, _ = a_turn()
    turn.receive_data(sse({"message": "Hello\nFUNCTION_"}))
    *_, text, error = frames(turn.fail(UpstreamTruncated("cut"), opened=True))
    assert "\nFUNCTION_" == text["choices"][0]["delta"]["content"]
    assert "upstream_truncated" == error["error"]["code"]


def test_a_failure_before_anything_went_out_is_not_told_in_the_stream() -> None:
    turn, _ = a_turn()
    assert b"" == turn.fail(FirstTokenTimeout("slow"), opened=False)
    turn, _ = a_turn()
    assert b"first_token_timeout" in turn.fail(FirstTokenTimeout("slow"), opened=True)


def test_a_whole_answer_never_commits_before_its_end() -> None:
    turn, _ = a_turn(stream=False)
    assert b"" == turn.receive_data(sse({"message": "Hello"}))
    assert b"" == turn.fail(UpstreamTruncated("cut"), opened=False)
    assert not turn.committed


def test_reading_stops_with_the_answer() -> None:
    turn, _ = a_turn()
    turn.receive_data(sse({"message": "x"}, END))
    assert turn.round_over
    assert b"" == turn.receive_data(sse({"message": "more"}))
