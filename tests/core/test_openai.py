"""OpenAI-compatible providers: frames relayed whole and untouched, answers collected, refusals told apart."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.answer import Usage
from proxy.core.call import AssistantText, ToolCall, ToolChoice, ToolResult, UserText
from proxy.core.callers.chat import Chat
from proxy.core.dialect import Round
from proxy.core.turn import Turn
from proxy.core.upstreams import openai_stream
from proxy.core.upstreams.openai import OpenAI
from proxy.core.upstreams.openai_stream import BODY_LIMIT
from proxy.core.upstreams.progress import BARREN_LIMIT
from proxy.errors import ProxyError
from tests.core.test_chat_answer import deltas, frames
from tests.support.calls import WEATHER, a_call
from tests.support.cuts import same_however_cut

PROVIDER = OpenAI("gpt", "gpt-4")
COLLECTING = OpenAI("gpt", "gpt-4", collect=True)
CHAT = Chat()


def chunk(delta: Any = None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None and reason is None else [{"index": 0, "delta": delta or {}, "finish_reason": reason}]
    body = {
        "id": "x",
        "object": "chat.completion.chunk",
        "model": "gpt-4-0613",
        "system_fingerprint": "fp",
        "choices": choices,
    }
    return b"data: " + orjson.dumps(body | more) + b"\n\n"


ROLE, OLA, STOP = chunk({"role": "assistant"}), chunk({"content": "Olá"}), chunk({}, "stop")
BLANK = chunk({"content": "", "refusal": None})
USAGE = chunk(usage={"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})
DONE = b"data: [DONE]\n\n"


def turn_for(**fields: Any) -> tuple[Turn, dict[str, Any]]:
    """A turn of a chat caller, and the body it sends."""
    sent = {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "Hi"}]} | fields
    call = CHAT.read(orjson.dumps(sent), "r1", 1)
    turn = Turn(call, CHAT.stream if call.stream else CHAT.whole)
    return turn, orjson.loads(turn.begin(fields.get("provider") or PROVIDER).body)


def relay(pieces: list[bytes], **fields: Any) -> tuple[bytes, str | None]:
    """What the caller gets of a stream, and the code of the error it ended in."""
    turn, _ = turn_for(**fields)
    out = b""
    for piece in pieces:
        out += turn.receive_data(piece)
        if turn.round_over:
            break
    end = turn.receive_eof()
    return out + end.out, end.error.code if end.error else None


STREAMS: dict[str, tuple[bytes, bytes, str | None]] = {
    "untouched": (ROLE + OLA + STOP + DONE, ROLE + OLA + STOP + DONE, None),
    "usage nobody asked for": (ROLE + OLA + STOP + USAGE + DONE, ROLE + OLA + STOP + DONE, None),
    "comments": (b": hi\n\n" + ROLE + STOP + DONE, b": hi\n\n" + ROLE + STOP + DONE, None),
    "no [DONE]": (ROLE + OLA + STOP, ROLE + OLA + STOP + DONE, None),
    "no finish": (ROLE + OLA, ROLE + OLA, "upstream_truncated"),
    "a [DONE] without a finish": (ROLE + OLA + DONE, ROLE + OLA, "upstream_truncated"),
    "half a frame": (ROLE + OLA + OLA[:-9], ROLE + OLA, "upstream_truncated"),
    "half a frame behind the finish": (ROLE + OLA + STOP + DONE[:-3], ROLE + OLA + STOP, "upstream_truncated"),
    "a break before anything was said": (b": hi\n\n" + ROLE + BLANK, b"", "upstream_truncated"),
    "an error before anything was said": (ROLE + b'data: {"error": "x"}\n\n', b"", "upstream_stream_error"),
    "an error": (ROLE + OLA + b'data: {"error": {"message": "overloaded"}}\n\n', ROLE + OLA, "upstream_stream_error"),
    "nothing": (b"", b"", "upstream_truncated"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_relayed_streams(case: str) -> None:
    wire, out, code = STREAMS[case]
    assert (out, code) == (same_however_cut(wire, relay, pairs=False) if wire else relay([]))


FRAMES = {
    "text": OLA,
    "nothing": BLANK,
    "two at once": OLA + chunk({"content": ", "}),
    "text and nothing": OLA + BLANK,
    "a comment": b": hi\n\n",
    "CR LF": OLA.replace(b"\n", b"\r\n"),
    "a blank line more": OLA + b"\n",
    "a blank line before": b"\n" + OLA,
    "blank lines": b"\n\n\n\n",
    "half a frame": OLA[:-20],
    "text and a beginning": OLA + b"data: {",
    "the end of a line": OLA[:-1],
    "spaced": b'data: {"choices": [{"delta" : {"content" : "x"}, "finish_reason" : null}]}\n\n',
    "usage on the way": chunk({"content": "x"}, usage=None),
    "usage": USAGE,
    "an error": b'data: {"error": {"message": "overloaded"}}\n\n',
    "an error beside text": chunk({"content": "x"}, error={"message": "overloaded"}),
    "not UTF-8": chunk({"content": "x"}).replace(b'"x"', b'"\xff"'),
    "no JSON": b'data: {"delta" nope\n\n',
    "finished": STOP,
    "finished, spaced": b'data: {"choices": [{"delta": {}, "finish_reason" : "stop"}]}\n\n',
    "done": DONE,
}


@settings(max_examples=300)
@given(st.sampled_from(["text", "spaced"]), st.lists(st.sampled_from(sorted(FRAMES)), max_size=8))
def test_reads_of_plain_frames_take_a_shorter_way(first: str, names: list[str]) -> None:
    """And come out as if each had been looked at."""

    def run() -> tuple[bytes, str | None, int, bool, Usage, str | None]:
        turn, _ = turn_for()
        out = b"".join(turn.receive_data(read) for read in reads)
        events, progressed = turn.events, turn.progress > 0
        end = turn.receive_eof()
        code, model = end.error.code if end.error else None, turn.finish.model if turn.finish else None
        return out + end.out, code, events, progressed, turn.usage, model

    reads = [FRAMES[first], *(FRAMES[name] for name in names)]
    short = run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai_stream, "_plain_frames", lambda _: 0)
        assert run() == short


def test_relayed_with_CR_LF() -> None:  # noqa: N802 - the line ending's own name
    wire = (ROLE + OLA + STOP + DONE).replace(b"\n", b"\r\n")
    assert (wire, None) == relay([wire]) == relay([wire[at : at + 1] for at in range(len(wire))])


def test_usage_that_was_asked_for_stays() -> None:
    wire = ROLE + STOP + USAGE + DONE
    assert (wire, None) == relay([wire], stream_options={"include_usage": True})


def test_a_frame_is_never_cut() -> None:
    turn, _ = turn_for()
    assert b"" == turn.receive_data(OLA[:-1])
    assert OLA == turn.receive_data(OLA[-1:])


def test_frames_that_say_nothing_are_no_progress() -> None:
    turn, _ = turn_for()
    assert (b"", 0) == (turn.receive_data(b": hi\n\n" + ROLE + BLANK), turn.progress)
    assert ROLE in turn.receive_data(OLA)
    said = turn.progress
    assert (BLANK, said) == (turn.receive_data(BLANK), turn.progress)
    assert 0 < said


def test_frames_that_wait_are_not_kept_for_ever() -> None:
    turn, _ = turn_for()
    assert b"" == turn.receive_data(BLANK * 100)
    assert BLANK * 10_000 == turn.receive_data(BLANK * 9_900)


BARREN = {
    "comments": b": hi\n\n" * 100,
    "blank deltas": BLANK * 10,
    "empty lists of calls": chunk({"tool_calls": [], "content": ""}) * 10,
    "unknown events": b'data: {"status": "thinking"}\n\n' * 100,
    "events that are no JSON": b"data:\n\n" * 1000,
    "roles": ROLE * 10,
}


@pytest.mark.parametrize("provider", [PROVIDER, COLLECTING], ids=["relayed", "collected"])
@pytest.mark.parametrize("before", [b"", OLA], ids=["from the start", "behind a text"])
@pytest.mark.parametrize("case", BARREN)
def test_a_megabyte_without_progress_ends_the_answer(case: str, before: bytes, provider: OpenAI) -> None:
    turn, _ = turn_for(provider=provider, stream=provider is PROVIDER)
    turn.receive_data(ROLE + before)
    received = 0
    while not turn.round_over and received < 2 * BARREN_LIMIT:
        turn.receive_data(BARREN[case])
        received += len(BARREN[case])
    error = turn.receive_eof().error
    assert "upstream_stream_error" == (error and error.code)
    assert received <= BARREN_LIMIT + len(BARREN[case])


THOUGHT = chunk({"reasoning_content": "Well, " * 100})


@pytest.mark.parametrize("provider", [PROVIDER, COLLECTING], ids=["relayed", "collected"])
def test_reasoning_is_progress(provider: OpenAI) -> None:
    turn, _ = turn_for(provider=provider, stream=provider is PROVIDER)
    for _ in range(2 * BARREN_LIMIT // len(THOUGHT)):
        turn.receive_data(THOUGHT)
    turn.receive_data(OLA + STOP + DONE)
    end = turn.receive_eof()
    assert (None, "stop") == (end.error, turn.finish and turn.finish.reason)


def test_what_is_noted() -> None:
    turn, _ = turn_for()
    turn.receive_data(ROLE + OLA + STOP + USAGE + DONE)
    assert turn.finish
    assert ("stop", "gpt-4-0613", 4, 2, False) == (
        turn.finish.reason, turn.finish.model, turn.usage.prompt, turn.usage.completion, turn.usage.estimated,
    )  # fmt: skip
    assert (5, 4) == (turn.events, turn.chunks)


def test_every_parameter_is_passed_on() -> None:
    fields = {
        "temperature": 0.5,
        "logit_bias": {"1": 2.0},
        "n": 3,
        "made_up": {"deep": [1]},
        "stop": ["x"],
        "user": "u",
    }
    _, body = turn_for(**fields)
    assert {
        "model": "gpt-4", "stream": True, "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Hi"}], **fields,
    } == body  # fmt: skip


def test_a_whole_answer_is_passed_on_as_it_is() -> None:
    answer = orjson.dumps(
        {"model": "gpt-4-0613", "x_groq": 1, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    )

    def read(pieces: list[bytes]) -> bytes:
        turn, body = turn_for(stream=False)
        assert body.get("stream_options") is None
        for piece in pieces:
            assert b"" == turn.receive_data(piece)
        return turn.receive_eof().out

    assert answer == same_however_cut(answer, read)


WIDE = b"[" + b"{}," * 400_000 + b"1]"
WHOLE = b'{"model":"m","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}%b],"usage":%b,"more":%b}'
WIDE_BODIES = {
    "in what is not read": WHOLE % (b"", b"null", WIDE),
    "more choices": WHOLE % (b",{}" * 400_000, b"null", b"1"),
    "usage": WHOLE % (b"", b'{"prompt_tokens":1,"completion_tokens":2,"x":%b}' % WIDE, b"1"),
}


@pytest.mark.parametrize("case", WIDE_BODIES)
def test_what_is_wide_in_a_whole_answer_is_passed_on_unbuilt(case: str) -> None:
    turn, _ = turn_for(stream=False)
    turn.receive_data(WIDE_BODIES[case])
    tracemalloc.start()
    end = turn.receive_eof()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (WIDE_BODIES[case], "m", "stop") == (
        end.out,
        turn.finish and turn.finish.model,
        turn.finish and turn.finish.reason,
    )
    assert peak < 4 * len(WIDE_BODIES[case])


def test_a_whole_answer_that_is_too_large() -> None:
    turn, _ = turn_for(stream=False)
    for _ in range(BODY_LIMIT // 2**20 + 1):
        turn.receive_data(b" " * 2**20)
    end = turn.receive_eof()
    assert ("upstream_stream_error", "the answer of 'gpt' is larger than 16 MB") == (
        end.error and end.error.code,
        end.error and end.error.message,
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"choices": [', b'{"error": {"message": "x"}}', b"[]", b"[" * 100_000, b'{"x":"\xff"}']
)
def test_a_whole_answer_that_is_none(body: bytes) -> None:
    turn, _ = turn_for(stream=False)
    turn.receive_data(body)
    end = turn.receive_eof()
    assert (b"", "upstream_stream_error") == (end.out, end.error and end.error.code)


def collect(wire: bytes) -> Any:
    call = CHAT.read(b'{"model":"gpt","messages":[{"role":"user","content":"Hi"}]}', "r1", 1)
    turn = Turn(call, CHAT.whole)
    assert orjson.loads(turn.begin(COLLECTING).body)["stream"] is True
    turn.receive_data(wire)
    end = turn.receive_eof()
    return end.error.code if end.error else orjson.loads(turn.receive_data(b"") or end.out or b"null")


def test_collected() -> None:
    call = CHAT.read(b'{"model":"gpt","messages":[{"role":"user","content":"Hi"}]}', "r1", 1)
    turn = Turn(call, CHAT.whole)
    turn.begin(COLLECTING)
    opened = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "go", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"a":', " 1}")]
    calls = [chunk({"tool_calls": [piece]}) for piece in (opened, *pieces)]
    answer = orjson.loads(turn.receive_data(b"".join([ROLE, OLA, *calls, chunk({}, "tool_calls"), USAGE, DONE])))
    message = answer["choices"][0]["message"]
    assert ("gpt-4-0613", "Olá", "tool_calls", 4) == (
        answer["model"], message["content"], answer["choices"][0]["finish_reason"], answer["usage"]["prompt_tokens"],
    )  # fmt: skip
    assert [{"id": "call_1", "type": "function", "function": {"name": "go", "arguments": '{"a": 1}'}}] == message[
        "tool_calls"
    ]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (ROLE + OLA, "upstream_truncated"),
        (ROLE + OLA + DONE, "upstream_truncated"),
        (ROLE + STOP + OLA[:-5], "upstream_truncated"),
        (ROLE + b"data: {nope\n\n" + STOP + DONE, "upstream_stream_error"),
        (b'data: {"error": "boom"}\n\n', "upstream_stream_error"),
    ],
)
def test_collected_but_not_whole(wire: bytes, code: str) -> None:
    assert code == collect(wire)


MISSHAPEN: dict[str, Any] = {
    "choices that are no list": {"choices": 5},
    "a choice that is none": {"choices": ["x"]},
    "a delta that is none": {"choices": [{"delta": "x"}]},
    "text that is none": {"choices": [{"delta": {"content": ["x"]}}]},
    "calls that are no list": {"choices": [{"delta": {"tool_calls": 7}}]},
    "a call that is none": {"choices": [{"delta": {"tool_calls": ["x"]}}]},
    "an index that is none": {"choices": [{"delta": {"tool_calls": [{"index": []}]}}]},
    "a function that is none": {"choices": [{"delta": {"tool_calls": [{"function": "x"}]}}]},
    "arguments that are no text": {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": {}}}]}}]},
}


@pytest.mark.parametrize("case", MISSHAPEN)
def test_collected_from_something_else(case: str) -> None:
    """Never a fault of our own, nor an answer that lacks what could not be read."""
    frame = b"data: " + orjson.dumps(MISSHAPEN[case]) + b"\n\n"
    assert "upstream_stream_error" == collect(ROLE + OLA + frame + STOP + DONE)


def test_pieces_of_two_calls_in_turns_are_not_put_together() -> None:
    first, second = ({"index": index, "function": {"name": "go", "arguments": "{"}} for index in (0, 1))
    assert "upstream_stream_error" == collect(chunk({"tool_calls": [first, second, first]}) + STOP + DONE)


def test_counts_below_zero_are_none() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": -7}}
    turn, _ = turn_for()
    turn.receive_data(ROLE + OLA + STOP + chunk(usage=usage) + DONE)
    assert (True, 5) == (turn.usage.estimated, turn.usage.completion)


def test_several_answers_are_not_collected_into_one() -> None:
    turn, sent = turn_for(stream=False, n=2, provider=COLLECTING)
    answer = b'{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}'
    turn.receive_data(answer)
    assert (False, answer) == (sent["stream"], turn.receive_eof().out)


def test_a_call_in_another_dialect_becomes_a_request() -> None:
    history = (
        UserText("Weather?", "Ana"),
        AssistantText("", (ToolCall("1", "get_weather", "{}"),)),
        ToolResult("1", "get_weather", "21 C"),
    )
    call = a_call(system="Be brief.", history=history, tools=(WEATHER,), choice=ToolChoice("required"), stop=("x",))
    body = orjson.loads(PROVIDER.exchange(call, Round()).outgoing.body)
    assert ["system", "user", "assistant", "tool"] == [message["role"] for message in body["messages"]]
    assert ("gpt-4", "required", ["x"], "get_weather") == (
        body["model"], body["tool_choice"], body["stop"], body["tools"][0]["function"]["name"],
    )  # fmt: skip


ERROR = orjson.dumps(
    {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }
)
REFUSALS: dict[str, tuple[int, bytes, tuple[int, str | None, str | None]]] = {
    "a 400 is passed on": (400, ERROR, (400, "context_length_exceeded", "messages")),
    "a 422 in plain text": (422, b"no", (422, None, None)),
    "a 413": (413, b"", (413, None, None)),
    "our key": (401, ERROR, (502, "upstream_auth", None)),
    "forbidden": (403, b"", (502, "upstream_forbidden", None)),
    "no such model": (404, b"", (502, "upstream_not_found", None)),
    "rate limit": (429, b"", (429, "rate_limit_exceeded", None)),
    "quota": (429, b'{"error": {"code": "insufficient_quota"}}', (429, "insufficient_quota", None)),
    "500": (500, b"", (502, "upstream_failed", None)),
    "503": (503, b"", (502, "upstream_failed", None)),
    "a redirect": (307, b"", (502, "upstream_rejected", None)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    status, body, expected = REFUSALS[case]
    error: ProxyError = PROVIDER.refuse(status, {}, body)
    assert expected == (error.status, error.code, error.param)
    assert error.message


def test_retry_after_is_kept() -> None:
    assert [7, 1, None] == [
        PROVIDER.refuse(429, {"retry-after": wait}, b"").retry_after for wait in ("7", "0.2", "soon")
    ]


def test_the_frames_are_those_of_a_chat_stream() -> None:
    out, _ = relay([ROLE + OLA + STOP + DONE])
    assert "Olá" == "".join(delta.get("content", "") for delta in deltas(out))
    assert "[DONE]" == frames(out)[-1]
