"""Chat completions as callers read them: chunks, one body, errors."""

from typing import Any

import orjson
import pytest

from proxy.core.answer import Finish, Usage
from proxy.core.callers.chat import PIECE_CHARS, ChatStream, ChatWhole, refuse
from proxy.errors import InvalidRequest, UpstreamAuth, UpstreamRateLimited, UpstreamTruncated
from tests.support.calls import a_call

END = Finish("stop", Usage(4, 2))


def frames(data: bytes) -> list[Any]:
    parts = data.split(b"\n\n")
    assert b"" == parts.pop(), "every frame ends in a blank line"
    datas = [part.removeprefix(b"data: ") for part in parts]
    return [data.decode() if data == b"[DONE]" else orjson.loads(data) for data in datas]


def deltas(data: bytes) -> list[Any]:
    return [frame["choices"][0]["delta"] for frame in frames(data) if frame != "[DONE]" and frame.get("choices")]


def test_chunks_in_order() -> None:
    stream = ChatStream(a_call(stream=True))
    stream.text("Hel")
    stream.text("lo")
    first = stream.take()
    stream.text("!")
    second = stream.take()
    stream.finish(END)
    last = stream.take()
    assert [{"role": "assistant", "content": ""}, {"content": "Hello"}] == deltas(first)
    assert [{"content": "!"}] == deltas(second)
    assert [
        "stop",
        "[DONE]",
    ] == [frame if frame == "[DONE]" else frame["choices"][0]["finish_reason"] for frame in frames(last)]
    assert {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"} == frames(last)[0]["choices"][0]
    assert 4 == stream.chunks


def test_every_chunk_has_the_same_head() -> None:
    stream = ChatStream(a_call(stream=True, model="ação"))
    stream.text("x")
    stream.call("call_1", "go")
    stream.finish(END)
    heads = [{key: frame[key] for key in ("id", "object", "created", "model")} for frame in frames(stream.take())[:-1]]
    assert heads == [{"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": 1, "model": "ação"}] * 5


def test_tool_calls() -> None:
    stream = ChatStream(a_call(stream=True))
    stream.call("call_1", "go")
    stream.arguments('{"a":')
    stream.arguments(" 1}")
    stream.call("call_2", "stop")
    stream.finish(Finish("tool_calls", Usage(1, 1)))
    _, *calls, end = deltas(stream.take())
    assert [
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "go", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "call_2", "type": "function", "function": {"name": "stop", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ] == calls
    assert {} == end


def test_usage_when_asked_for() -> None:
    stream = ChatStream(a_call(stream=True, include_usage=True))
    stream.text("x")
    stream.finish(END)
    *chunks, usage, done = frames(stream.take())
    assert [chunk["usage"] for chunk in chunks] == [None] * 3
    assert (
        usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"], usage["usage"]["total_tokens"],
    ) == ([], 4, 2, 6)  # fmt: skip
    assert "[DONE]" == done


def test_no_usage_when_not() -> None:
    stream = ChatStream(a_call(stream=True))
    stream.finish(END)
    assert all("usage" not in frame for frame in frames(stream.take()) if frame != "[DONE]")


def test_nothing_gives_nothing() -> None:
    """An empty read does not commit the answer."""
    stream = ChatStream(a_call(stream=True))
    assert b"" == stream.take()
    stream.text("")
    assert b"" == stream.take()


def test_a_failure_is_told_and_nothing_done() -> None:
    stream = ChatStream(a_call(stream=True))
    stream.text("Hel")
    stream.fail(UpstreamTruncated("cut"))
    *_, text, error = frames(stream.take())
    assert {"content": "Hel"} == text["choices"][0]["delta"]
    assert {"error": {"message": "cut", "type": "server_error", "param": None, "code": "upstream_truncated"}} == error


def test_long_text_is_cut_into_chunks_that_line_readers_bear() -> None:
    stream = ChatStream(a_call(stream=True))
    text = "€" * (3 * PIECE_CHARS + 1)
    stream.text(text)
    out = stream.take()
    assert text == "".join(delta["content"] for delta in deltas(out))
    assert max(len(line) for line in out.split(b"\n")) < 33_000


@pytest.mark.parametrize("text", ["São \u2028 \x00 \"'\\ \n", "\ud83d"])
def test_text_survives(text: str) -> None:
    stream = ChatStream(a_call(stream=True))
    stream.text(text)
    assert [text.encode(errors="replace").decode()] == [delta["content"] for delta in deltas(stream.take())[1:]]


def test_whole() -> None:
    whole = ChatWhole(a_call())
    whole.text("Hel")
    assert b"" == whole.take()
    whole.text("lo")
    whole.finish(END)
    body = orjson.loads(whole.take())
    usage = body.pop("usage")
    assert {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    } == body
    assert (
        usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens_details"]["reasoning_tokens"],
    ) == (4, 2, 6, 0, 0)  # fmt: skip


def test_whole_with_calls() -> None:
    whole = ChatWhole(a_call())
    whole.call("call_1", "go")
    whole.arguments('{"a": 1}')
    whole.call("call_2", "stop")
    whole.finish(Finish("tool_calls", Usage(1, 1)))
    choice = orjson.loads(whole.take())["choices"][0]
    assert choice["message"]["content"] is None
    assert [("call_1", "go", '{"a": 1}'), ("call_2", "stop", "{}")] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in choice["message"]["tool_calls"]
    ]
    assert "tool_calls" == choice["finish_reason"]


def test_errors_say_whether_to_try_again() -> None:
    limited = refuse(UpstreamRateLimited("slow down", retry_after=5))
    assert (limited.status, limited.headers.get("retry-after"), limited.headers.get("x-should-retry")) == (
        429,
        "5",
        None,
    )
    assert "60" == refuse(UpstreamRateLimited("slow down", retry_after=3600)).headers["retry-after"]
    ours = refuse(UpstreamAuth("refused"))
    assert (ours.status, ours.headers.get("x-should-retry")) == (502, "false")
    theirs = refuse(InvalidRequest("n: wrong", param="n"))
    assert {
        "error": {"message": "n: wrong", "type": "invalid_request_error", "param": "n", "code": None}
    } == orjson.loads(theirs.body)


def test_calls_in_the_form_before_tools() -> None:
    call = a_call(legacy_functions=True)
    stream, whole = ChatStream(call), ChatWhole(call)
    for rendering in (stream, whole):
        rendering.call("call_1", "go")
        rendering.arguments('{"a": 1}')
        rendering.finish(Finish("tool_calls", Usage(1, 1)))
    out = stream.take()
    assert [{"name": "go", "arguments": ""}, {"arguments": '{"a": 1}'}] == [
        delta["function_call"] for delta in deltas(out) if "function_call" in delta
    ]
    choice = orjson.loads(whole.take())["choices"][0]
    assert {"name": "go", "arguments": '{"a": 1}'} == choice["message"]["function_call"]
    assert "function_call" == choice["finish_reason"] == frames(out)[-2]["choices"][0]["finish_reason"]
