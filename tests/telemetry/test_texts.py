"""What was said, as it is told with LOG_MESSAGES: in OpenAI's form, bounded, without secrets."""

from typing import Any

import orjson
import pytest

from proxy.core.call import AssistantText, Call, SystemText, ToolCall, ToolResult, UserText
from proxy.core.callers.chat import Chat
from proxy.core.callers.chat_request import read
from proxy.telemetry.texts import Texts, cut
from proxy.telemetry.transcript import FRAMES_LIMIT, TEXT_LIMIT, Overheard, Transcript

TEXTS = Texts(lambda text: text.replace("planted-secret", "********"))


def call(*history: Any, system: str = "") -> Call:
    return Call("r1", 1, "m", system, history)


def test_a_conversation() -> None:
    made = (ToolCall("c1", "look", '{"at": 1}'),)
    asked = TEXTS.asked(
        call(UserText("a"), AssistantText("b", made), ToolResult("c1", "look", "c"), SystemText("d"), system="s")
    )
    assert [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "tool_calls": [{"id": "c1", "name": "look", "arguments": '{"at": 1}'}]},
        {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "c"},
        {"role": "system", "content": "d"},
    ] == asked


def test_secrets_are_masked() -> None:
    transcript = Transcript()
    transcript.add_text("it is planted-")
    transcript.add_text("secret")
    made = (ToolCall("c1", "look", '{"at": "planted-secret"}'),)
    told = f"{TEXTS.asked(call(UserText('planted-secret'), AssistantText('', made)))}{TEXTS.answered(transcript)}"
    assert (3, False) == (told.count("********"), "planted" in told)


def test_the_newest_messages_are_told() -> None:
    asked = TEXTS.asked(call(*(UserText(f"{number}" * 1000) for number in range(1, 60))))
    assert asked[0] == {"role": "note", "content": f"{59 - len(asked) + 1} older messages are left out"}
    assert "59" * 1000 == asked[-1]["content"]
    assert TEXT_LIMIT + 1000 > sum(len(str(message["content"])) for message in asked)


def test_a_long_message_is_cut_in_the_middle() -> None:
    (message,) = TEXTS.asked(call(UserText("a" * TEXT_LIMIT + "b" * TEXT_LIMIT)))
    text = str(message["content"])
    assert ("a", "b", True) == (text[0], text[-1], f" {TEXT_LIMIT} characters are left out" in text)


@pytest.mark.parametrize("room", [0, 1, 2, 5, 9, 10])
def test_cuts(room: int) -> None:
    text = "0123456789"
    told = cut(text, room)
    assert (told == text) == (room >= 10)
    assert room >= 10 or f"{10 - room // 2 * 2} characters" in told


def test_nothing_was_answered() -> None:
    assert {"text": ""} == TEXTS.answered(None) == TEXTS.answered(Transcript())


def test_a_long_answer_is_cut() -> None:
    transcript = Transcript()
    for _ in range(10):
        transcript.add_text("x" * 5000)
    transcript.add_call("look")
    transcript.add_arguments("y" * 10)
    answer = TEXTS.answered(transcript)
    assert (TEXT_LIMIT, 50_000 - TEXT_LIMIT + 10) == (len(str(answer["text"])), answer["left_out"])
    assert [{"name": "look", "arguments": ""}] == answer["tool_calls"]


def frames(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def test_frames_are_read_at_the_end() -> None:
    transcript = Transcript()
    overheard = Overheard(
        Chat().stream(read(b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}', "r", 1)),
        transcript,
    )
    made = {"index": 0, "id": "c", "function": {"name": "look", "arguments": '{"at": '}}
    more = {"index": 0, "function": {"arguments": "1}"}}
    sent = frames(
        {"choices": [{"delta": {"content": "Olá"}}]},
        {"choices": [{"delta": {"tool_calls": [made]}}]},
        {"choices": [{"delta": {"tool_calls": [more]}, "finish_reason": "tool_calls"}]},
    )
    for at in range(0, len(sent), 7):
        overheard.frames(sent[at : at + 7], 0)
    assert sent == overheard.take()
    assert ("Olá", [("look", '{"at": 1}')]) == (transcript.text, transcript.arguments_of_calls())


BODIES: dict[str, tuple[bytes, str]] = {
    "an answer": (b'{"choices":[{"message":{"content":"All is well."}}]}', "All is well."),
    "no content": (b'{"choices":[{"message":{"content":null}}]}', ""),
    "no choices": (b'{"choices":[]}', ""),
    "of another shape": (b'{"choices":[{"message":"text"}]}', ""),
    "no JSON": (b"<html>", ""),
    "no object": (b"[1]", ""),
}


@pytest.mark.parametrize(("body", "text"), BODIES.values(), ids=BODIES)
def test_a_whole_body(body: bytes, text: str) -> None:
    transcript = Transcript()
    transcript.add_body(body)
    assert text == transcript.text


ODD = [
    b'data: {"choices":[{"delta":{"tool_calls":[7]}}]}\n\n',
    b'data: {"choices":[{"delta":{"tool_calls":[{"function":7}]}}]}\n\n',
    b"data: {",
]


@pytest.mark.parametrize("sent", ODD)
def test_odd_frames_are_no_trouble(sent: bytes) -> None:
    transcript = Transcript()
    transcript.add_frames(sent)
    assert "" == transcript.text


def test_too_many_frames_are_cut() -> None:
    transcript = Transcript()
    for _ in range(3):
        transcript.add_frames(b": x\n\n" * (FRAMES_LIMIT // 10))
    assert 0 < transcript.left_out
    assert "" == transcript.text
