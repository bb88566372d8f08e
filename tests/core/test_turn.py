"""A turn over its rounds: when it is committed, when it asks again, how it ends."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.call import JsonFormat, ToolChoice, UserText
from proxy.core.callers.chat import ChatStream, ChatWhole
from proxy.core.dialect import Outgoing
from proxy.core.turn import RoundEnd, Turn
from proxy.core.upstreams.stackspot import StackSpot, ulid
from proxy.errors import (
    ContextTooLong,
    FirstTokenTimeout,
    FormatNotMet,
    ToolCallUnreadable,
    ToolChoiceNotMet,
    UpstreamFailed,
    UpstreamTruncated,
)
from tests.core.test_chat_answer import deltas, frames
from tests.core.test_openai import CHAT, COLLECTING, DONE, chunk
from tests.core.test_stackspot import END, sse
from tests.support.calls import WEATHER, a_call

AGENT = StackSpot("m", "01AGENT", b"secret")
BROKEN = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the "old" town"}\nFUNCTION_CALL_END'
GOOD = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Rome"}\nFUNCTION_CALL_END'


def a_turn(*, stream: bool = True) -> tuple[Turn, Outgoing]:
    call = a_call("Weather?", tools=(WEATHER,), stream=stream)
    turn = Turn(call, ChatStream if stream else ChatWhole)
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
    assert [("get_weather", "repaired")] == [(call.name, call.outcome) for call in turn.calls]
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
    second, _ = say(turn, GOOD.replace("Rome", "Oslo"))
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


PROSE = "I would rather talk about it."
REQUIRED = {"tools": (WEATHER,), "choice": ToolChoice("required")}
JSON_WANTED = {"format": JsonFormat({"type": "object", "required": ["city"]})}


def begin(*, upstream: StackSpot = AGENT, max_rounds: int = 4, **fields: Any) -> tuple[Turn, Outgoing]:
    call = a_call("Weather?", stream=True, **fields)
    turn = Turn(call, ChatStream, max_rounds)
    return turn, turn.begin(upstream)


def prompt_of(outgoing: Outgoing | None) -> str:
    assert outgoing is not None
    prompt: str = json.loads(outgoing.body)["user_prompt"]
    return prompt


def test_a_required_call_is_asked_for_once_more() -> None:
    turn, first = begin(**REQUIRED)
    assert "You must call" in prompt_of(first)
    out, end = say(turn, PROSE)
    assert b"" == out == end.out
    assert PROSE in prompt_of(end.again)
    out, end = say(turn, GOOD)
    assert "tool_calls" == frames(out)[-2]["choices"][0]["finish_reason"]
    assert 8 == turn.usage.prompt, "both rounds are counted"


def test_a_required_call_that_never_comes_is_an_error() -> None:
    turn, _ = begin(**REQUIRED)
    say(turn, PROSE)
    _, end = say(turn, PROSE)
    assert isinstance(end.error, ToolChoiceNotMet)
    assert not turn.committed


def test_each_kind_of_failure_is_mended_once() -> None:
    turn, _ = begin(**REQUIRED)
    _, end = say(turn, PROSE)
    assert end.again
    _, end = say(turn, BROKEN)
    assert end.again
    _, end = say(turn, BROKEN)
    assert isinstance(end.error, ToolCallUnreadable)
    assert 3 == turn.rounds


def test_the_ceiling_holds_for_hidden_rounds() -> None:
    turn, _ = begin(max_rounds=1, **REQUIRED)
    _, end = say(turn, PROSE)
    assert isinstance(end.error, ToolChoiceNotMet)


def test_json_is_mended_once() -> None:
    turn, first = begin(**JSON_WANTED)
    assert '{"type":"object","required":["city"]}' in prompt_of(first)
    out, end = say(turn, PROSE)
    assert b"" == out == end.out
    assert "not valid JSON" in prompt_of(end.again)
    out, _ = say(turn, '```json\n{"city": "Rome"}\n```')
    assert ['{"city": "Rome"}'] == [delta["content"] for delta in deltas(out) if delta.get("content")]


def test_json_that_never_comes_is_an_error() -> None:
    turn, _ = begin(**JSON_WANTED)
    say(turn, PROSE)
    _, end = say(turn, PROSE)
    assert isinstance(end.error, FormatNotMet)
    assert not turn.committed


def test_a_stop_sequence_ends_the_round_and_leaves_the_upstream_to_be_closed() -> None:
    turn, _ = begin(stop=("END",))
    out = turn.receive_data(sse({"message": "one EN"})) + turn.receive_data(sse({"message": "D two"}))
    assert "one " == "".join(delta.get("content", "") for delta in deltas(out))
    assert "[DONE]" == frames(out)[-1]
    assert (True, False) == (turn.round_over, turn.upstream_ended)
    assert turn.usage.estimated, "the upstream has not counted yet"


def test_not_parallel_ends_behind_the_first_call() -> None:
    turn, _ = begin(tools=(WEATHER,), parallel_calls=False)
    out = turn.receive_data(sse({"message": GOOD + "\n"}))
    assert "[DONE]" == frames(out)[-1]
    assert (True, False) == (turn.round_over, turn.upstream_ended)


def test_max_tokens_only_when_enforced() -> None:
    for enforced, reason in ((False, "stop"), (True, "length")):
        turn, _ = begin(upstream=replace(AGENT, enforce_max_tokens=enforced), max_tokens=1)
        out, _ = say(turn, "much more than that")
        assert reason == frames(out)[-2]["choices"][0]["finish_reason"]


def test_a_prompt_that_is_too_long_is_shrunk_once() -> None:
    history = tuple(UserText(f"{number}" + "x" * 1000) for number in range(100))
    turn, first = begin(history=history)
    again = turn.refused(ContextTooLong("too long", room=0.5))
    assert 0.4 * len(prompt_of(first)) < len(prompt_of(again)) < 0.5 * len(prompt_of(first))
    assert turn.refused(ContextTooLong("too long", room=0.5)) is None
    assert 0 == turn.usage.prompt, "a request that was refused generated nothing"


def test_other_refusals_are_final() -> None:
    turn, _ = begin()
    assert turn.refused(UpstreamFailed("500")) is None


def test_a_conversation_that_the_agent_remembers_has_no_hidden_rounds() -> None:
    turn, first = begin(upstream=replace(AGENT, remembers=True), conversation="chat-1", **REQUIRED)
    body = json.loads(first.body)
    assert (True, ulid("chat-1")) == (body["use_conversation"], body["conversation_id"])
    _, end = say(turn, PROSE)
    assert isinstance(end.error, ToolChoiceNotMet)


@pytest.mark.parametrize("text", ["01JZ4M7Q2X9WB3TKD5R8VHNC6E", "01jz4m7q2x9wb3tkd5r8vhnc6e"])
def test_a_ulid_stays_as_it_is(text: str) -> None:
    assert text == ulid(text)


@pytest.mark.parametrize("text", ["chat-1", "", "81JZ4M7Q2X9WB3TKD5R8VHNC6E", "conversa-ção"])
def test_other_ids_become_one(text: str) -> None:
    made = ulid(text)
    assert made == ulid(text) == ulid(made)
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", made)


STREAMED = {
    "calls": ({"tools": (WEATHER,)}, f"Hm.\n{GOOD}\n{GOOD}"),
    "text": ({}, "Hello, world."),
    "json": ({"format": JsonFormat()}, '{"a": 1}'),
    "stop": ({"stop": ("wor",)}, "Hello, world."),
}


@pytest.mark.parametrize("case", STREAMED)
def test_stream_and_whole_tell_the_same(case: str) -> None:
    fields, text = STREAMED[case]
    call = a_call(**fields)
    told = []
    for render in (ChatStream, ChatWhole):
        turn = Turn(call, render)
        turn.begin(AGENT)
        told.append(turn.receive_data(sse({"message": text}, END)) + turn.receive_eof().out)
    streamed = deltas(told[0])
    message = json.loads(told[1])["choices"][0]["message"]
    assert (message["content"] or "") == "".join(delta.get("content", "") for delta in streamed)
    opened = [call for delta in streamed for call in delta.get("tool_calls", []) if "id" in call]
    assert [call["id"] for call in opened] == [call["id"] for call in message.get("tool_calls", [])]


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_what_was_told_is_never_told_twice(streamed: bool) -> None:
    """A prompt found too long in the middle of an answer is not shrunk: the answer has begun, sent or not."""
    call = a_call("Weather?", stream=streamed)
    turn = Turn(call, ChatStream if streamed else ChatWhole)
    turn.begin(AGENT)
    turn.receive_data(sse({"message": "Hello"}, {"type": "error", "code": "INFERENCE_6001_X", "details": ""}))
    end = turn.receive_eof()
    assert end.again is None
    assert isinstance(end.error, ContextTooLong)


def test_a_repair_that_does_not_fit_ends_in_an_error() -> None:
    turn, _ = begin(tools=(WEATHER,))
    say(turn, f"Intro.\n{GOOD}\n{BROKEN}")
    assert turn.refused(ContextTooLong("too long")) is None


def test_a_shrunk_prompt_keeps_its_correction() -> None:
    turn, _ = begin(**JSON_WANTED)
    say(turn, PROSE)
    assert PROSE in prompt_of(turn.refused(ContextTooLong("too long", room=0.9)))


ANOTHER = replace(AGENT, agent_id="02AGENT")


@pytest.mark.parametrize("upstream", [AGENT, ANOTHER], ids=["same", "another"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_repair_that_was_refused_is_sent_again(stream: bool, upstream: StackSpot) -> None:
    """The prompt that it repairs was answered: it must not be generated a second time."""
    turn, _ = a_turn(stream=stream)
    _, end = say(turn, ("" if stream else "Let me see.\n") + BROKEN)
    assert turn.refused(UpstreamFailed("503")) is None
    assert turn.repeats(UpstreamFailed("503"))
    again = turn.begin(upstream)
    assert prompt_of(end.again) == prompt_of(again) or upstream is ANOTHER
    assert BROKEN.splitlines()[2] in prompt_of(again)
    out, end = say(turn, "Sorry!\n" + GOOD)
    out += end.out
    found = deltas(out) if stream else [json.loads(out)["choices"][0]["message"]]
    assert ["get_weather"] == [call.name for call in turn.calls]
    assert ("" if stream else "Let me see.") == "".join(delta.get("content") or "" for delta in found).strip()
    assert (True, 3) == (turn.calls[0].repaired, turn.rounds)


def test_repair_that_was_sent_again_is_the_only_one() -> None:
    turn, _ = a_turn()
    say(turn, BROKEN)
    turn.refused(UpstreamFailed("503"))
    turn.begin(AGENT)
    _, end = say(turn, BROKEN)
    assert isinstance(end.error, ToolCallUnreadable)


def test_shrunk_prompt_that_was_refused_is_sent_again() -> None:
    turn, first = begin(history=tuple(UserText(f"{number}" + "x" * 1000) for number in range(100)))
    shrunk = turn.refused(ContextTooLong("too long", room=0.5))
    turn.refused(UpstreamFailed("503"))
    assert prompt_of(first) != prompt_of(shrunk) == prompt_of(turn.begin(AGENT))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_another_dialect_begins_anew(stream: bool) -> None:
    """What an upstream said that was not told yet is forgotten when another one is asked that knows no repairs."""
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER.parameters}}
    messages = [{"role": "user", "content": "Weather?"}]
    sent = {"model": "m", "stream": stream, "messages": messages, "tools": [tool]}
    call = CHAT.read(json.dumps(sent).encode(), "r1", 1)
    turn = Turn(call, CHAT.stream if stream else CHAT.whole)
    turn.begin(AGENT)
    _, end = say(turn, ("" if stream else "Let me see.\n") + BROKEN)
    assert end.again is not None
    assert turn.refused(UpstreamFailed("503")) is None
    assert turn.moves_on(UpstreamFailed("503"))
    assert messages == json.loads(turn.begin(COLLECTING).body)["messages"]
    out = turn.receive_data(chunk({"content": "Fine."}) + chunk({}, "stop") + DONE) + turn.receive_eof().out
    assert b"Fine." in out
    assert b"Let me see" not in out
    assert [] == turn.calls


def test_repair_that_had_begun_is_not_taken_up() -> None:
    """By a fallback, for what came of it may have been told."""
    turn, first = a_turn(stream=False)
    say(turn, BROKEN)
    turn.receive_data(sse({"message": ""}))
    assert prompt_of(first) == prompt_of(turn.begin(AGENT))
