"""StackSpot's wire: the request, every form of its stream, its refusals."""

import json
import re
from dataclasses import replace

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.answer import Usage
from proxy.core.call import Call
from proxy.core.dialect import Round
from proxy.core.upstreams.progress import BARREN_LIMIT
from proxy.core.upstreams.stackspot import StackSpot
from proxy.core.upstreams.stackspot_stream import PORTION, StackSpotReader
from proxy.errors import InvalidRequest, ProxyError, UpstreamTruncated
from tests.support.answers import Notes, Told
from tests.support.calls import WEATHER, a_call
from tests.support.cuts import same_however_cut

AGENT = StackSpot("chat", "01AGENT", b"secret")
FULL = {"upload_ids": {}, "knowledge_source_id": [], "source": [], "tools_id": [], "agent_info": []}


def sse(*events: object, done: bool = False) -> bytes:
    datas = [event if isinstance(event, bytes) else orjson.dumps(event) for event in events]
    return b"".join(b"data: " + data + b"\n\n" for data in [*datas, *([b"[DONE]"] if done else [])])


END = {"message": "", "stop_reason": "stop", "tokens": {"input": 4, "output": 2}}
HELLO = [("text", "Olá")]
STOP = [("finish", "stop")]
TRUNCATED = [("fail", "upstream_truncated")]
BROKEN = [("fail", "upstream_stream_error")]

STREAMS: dict[str, tuple[bytes, Told]] = {
    "bare deltas": (sse({"message": "Ol"}, {"message": "á"}, END), HELLO + STOP),
    "full deltas": (sse(FULL | {"message": "Olá"}, END), HELLO + STOP),
    "null stop_reason on deltas": (sse({"message": "Olá", "stop_reason": None}, END), HELLO + STOP),
    "the same delta twice is two": (sse({"message": "ha"}, {"message": "ha"}, END), [("text", "haha"), *STOP]),
    "text in the final event": (sse({"message": "Olá", "stop_reason": "stop"}), HELLO + STOP),
    "tokens alone end it": (sse({"message": "Olá"}, {"tokens": {"input": 1}}), HELLO + STOP),
    "empty deltas": (sse({"message": ""}, {"message": "Olá"}, {"message": ""}, END), HELLO + STOP),
    "null message": (sse({"message": None}, {"message": "Olá"}, END), HELLO + STOP),
    "[DONE] behind the end": (sse({"message": "Olá"}, END, done=True), HELLO + STOP),
    "[DONE] alone ends it": (sse({"message": "Olá"}, done=True), HELLO + STOP),
    "text behind the end is not the answer's": (sse({"message": "Olá"}, END, {"message": "x"}), HELLO + STOP),
    "out of length": (sse({"message": "Olá"}, {"stop_reason": "length"}), [*HELLO, ("finish", "length")]),
    "max_tokens": (sse({"message": "Olá"}, {"stop_reason": "MAX_TOKENS"}), [*HELLO, ("finish", "length")]),
    "filtered": (sse({"message": "Olá"}, {"stop_reason": "content_filter"}), [*HELLO, ("finish", "content_filter")]),
    "OpenAI's shape": (
        sse({"choices": [{"delta": {"content": "Olá"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        HELLO + STOP,
    ),
    "a message_id makes a clean end complete": (sse({"message": "Olá", "message_id": "1"}), HELLO + STOP),
    "a message_id does not end the reading": (
        sse({"message": "O", "message_id": "1"}, {"message": "lá"}),
        HELLO + STOP,
    ),
    "a last event with the key stop_reason too": (sse({"message": "Olá", "stop_reason": None}), HELLO + STOP),
    "but only the last": (sse({"message": "O", "stop_reason": None}, {"message": "lá"}), HELLO + TRUNCATED),
    "no final event": (sse({"message": "Olá"}), HELLO + TRUNCATED),
    "nothing at all": (b"", TRUNCATED),
    "only comments": (b": hi\n\n", TRUNCATED),
    "half an event": (sse({"message": "Olá"}) + b'data: {"mess', HELLO + TRUNCATED),
    "half an event behind a message_id": (sse({"message": "Olá", "message_id": "1"}) + b'data: {"m', HELLO + TRUNCATED),
    "half a character": (sse({"message": "Olá"}) + 'data: {"message": "á'.encode()[:-1], HELLO + TRUNCATED),
    "a final event without its blank line": (sse({"message": "Olá"}, END)[:-2], HELLO + STOP),
    "an error event": (sse({"message": "Olá"}, {"type": "error", "message": "overloaded"}), HELLO + BROKEN),
    "an error object": (sse({"message": "Olá"}, {"error": {"message": "overloaded"}}), HELLO + BROKEN),
    "an event named error": (sse({"message": "Olá"}) + b"event: error\ndata: boom\n\n", HELLO + BROKEN),
    "an envelope": (sse({"message": "Olá"}, {"code": "X_1", "details": "y"}), HELLO + BROKEN),
    "a rate limit inside": (sse({"type": "error", "code": "INFERENCE_3008_X"}), [("fail", "rate_limit_exceeded")]),
    "an event that is no JSON": (sse({"message": "Olá"}, b'{"message": "x', END), HELLO + BROKEN),
    "an event that is no object": (sse({"message": "Olá"}, b"ping", END), HELLO + STOP),
    "a message that is no text": (sse({"message": "Olá"}, {"message": 7}, END), HELLO + BROKEN),
    "a reason that says it failed": (sse({"message": "Olá"}, {"stop_reason": "timeout"}), HELLO + BROKEN),
    "a list": (sse({"message": "Olá"}, [{"message": "lost"}], END), HELLO + BROKEN),
    "[DONE] without its blank line": (sse({"message": "Olá"}) + b"data: [DONE]", HELLO + STOP),
    "not UTF-8": (sse({"message": "Olá"}, b'{"message": "\xff"}', END), HELLO + BROKEN),
    "HTML": (b"<html>\n\nsorry\n\n</html>\n", TRUNCATED),
    "a line without end": (sse({"message": "Olá"}) + b"data: " + b"x" * (1 << 20), HELLO + BROKEN),
}


def read(pieces: list[bytes]) -> Told:
    notes = Notes()
    reader = StackSpotReader(notes, 40)
    for piece in pieces:
        reader.receive_data(piece)
    reader.receive_eof()
    return notes.told


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("case", STREAMS)
def test_streams(case: str, ending: bytes) -> None:
    wire, expected = STREAMS[case]
    wire = wire.replace(b"\n", ending)
    assert expected == (same_however_cut(wire, read, pairs=False) if 0 < len(wire) < 1000 else read([wire]))


BARREN: dict[str, bytes] = {
    "comments": b":\n" * 1000,
    "comments of a keepalive": b": ping\n\n" * 100,
    "empty deltas": sse({"message": ""}) * 100,
    "an empty delta in each read": sse({"message": ""}),
    "full empty deltas": sse(FULL | {"message": ""}) * 10,
    "unknown events": sse({"status": "thinking"}) * 100,
    "events that are no JSON": b"data:\n\n" * 1000,
    "ids and retry times": b"id: 1\nretry: 2\n\n" * 100,
}


@pytest.mark.parametrize("case", BARREN)
def test_a_megabyte_without_progress_ends_the_answer(case: str) -> None:
    notes = Notes()
    reader = StackSpotReader(notes, 40)
    reader.receive_data(sse({"message": "Olá"}))
    received = 0
    while not reader.ended and received < 2 * BARREN_LIMIT:
        reader.receive_data(BARREN[case])
        received += len(BARREN[case])
    assert HELLO + BROKEN == notes.told
    assert BARREN_LIMIT < received <= BARREN_LIMIT + len(BARREN[case])


@pytest.mark.parametrize("delta", [sse({"message": "a"}), sse(FULL | {"message": "a"})], ids=["bare", "full"])
def test_any_progress_begins_another_megabyte(delta: bytes) -> None:
    notes = Notes()
    reader = StackSpotReader(notes, 40)
    for _ in range(4):
        reader.receive_data(delta)
        for _ in range(BARREN_LIMIT // 2000 - 1):
            reader.receive_data(b":\n" * 1000)
    reader.receive_data(sse(END))
    assert [("text", "aaaa"), *STOP] == notes.told


LARGE = "".join(f"{number} " for number in range(10_000))


@pytest.mark.parametrize(
    ("end", "told"),
    [(sse(END), STOP), (sse({"error": "x"}), BROKEN), (b"", TRUNCATED), (sse(b'{"m'), BROKEN)],
    ids=["whole", "an error", "cut off", "unreadable"],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_large_event_is_worked_off_in_portions(end: bytes, told: Told, together: bool) -> None:
    """The end waits behind the last of them."""
    sizes: list[int] = []

    class Sizes(Notes):
        def text(self, piece: str) -> None:
            sizes.append(len(piece))
            super().text(piece)

    notes = Sizes()
    reader = StackSpotReader(notes, 40)
    wire = sse({"message": LARGE})
    reader.receive_data(wire + end if together else wire)
    while reader.pending:
        assert [] == [each for each in notes.told if each[0] != "text"]
        reader.receive_data(b"")
    if not together:
        reader.receive_data(end)
    if not reader.ended:
        reader.receive_eof()
    assert [("text", LARGE), *told] == notes.told
    assert max(sizes) == PORTION


def test_a_break_behind_a_large_event_loses_nothing_of_it() -> None:
    notes = Notes()
    reader = StackSpotReader(notes, 40)
    reader.receive_data(sse({"message": LARGE}, END))
    reader.receive_error(UpstreamTruncated("broken off"))
    assert [("text", LARGE), *TRUNCATED] == notes.told


def test_the_text_of_one_read_is_one_piece() -> None:
    pieces: list[str] = []

    class Counting(Notes):
        def text(self, piece: str) -> None:
            pieces.append(piece)

    StackSpotReader(Counting(), 0).receive_data(sse({"message": "a"}, {"message": "b"}, {"message": "c"}))
    assert ["abc"] == pieces


DELTAS = [
    b'data: {"message":"plain"}\n\n',
    b'data: {"message": "a space before it"}\n\n',
    'data: {"message":"não é só ASCII 🙂"}\n\n'.encode(),
    b'data: {"message":""}\n\n',
    b'data: {"message":"%b"}\n\n' % (b"long " * 1000),
    b'data: {"message":"a \\"quote\\" and a line\\n"}\n\n',
    b'data: {"message":"escaped \\u00e1"}\n\n',
    b'data:{"message":"no space"}\n\n',
    b'data: {"message":"CR LF"}\r\n\r\n',
    b'data: {"message":"two of them"}\n\ndata: {"message":" in one read"}\n\n',
    b'data: {"message":"more"}  \n\n',
    b'data: {"message":"a reason","stop_reason":null}\n\n',
    b': a comment\n\n',
    b'event: error\n',
    b'data: {"message":"a line feed \n"}\n\n',
    b'data: {"message":"a tab \t"}\n\n',
    b'data: {"message":"not UTF-8 \xff"}\n\n',
    b'data: {"message":7}\n\n',
    b'\xef\xbb\xbfdata: {"message":"behind a BOM"}\n\n',
    b'data: [DONE]\n\n',
]  # fmt: skip


@example([DELTAS[0], b"event: error\n", DELTAS[0]])
@example([DELTAS[0], b'\xef\xbb\xbfdata: {"message":"behind a BOM"}\n\n'])
@given(st.lists(st.sampled_from(DELTAS), max_size=8))
def test_an_event_a_read_is_read_like_a_byte_a_read(events: list[bytes]) -> None:
    """Most reads are one bare delta, for which there is a shorter way."""

    def run(reads: list[bytes]) -> tuple[Told, int, int, int, Usage]:
        notes = Notes()
        reader = StackSpotReader(notes, 40)
        for read in reads:
            reader.receive_data(read)
        reader.receive_eof()
        return notes.told, reader.events, reader.progress, reader.invalid, reader.usage()

    assert run([bytes([byte]) for byte in b"".join(events)]) == run(events)


def test_optional_end_marker() -> None:
    notes = Notes()
    reader = StackSpotReader(notes, 0, end_optional=True)
    reader.receive_data(sse({"message": "Olá"}))
    reader.receive_eof()
    assert HELLO + STOP == notes.told
    assert reader.unmarked_end


@pytest.mark.parametrize(
    ("tokens", "expected"),
    {
        "input and output": ({"input": 4, "output": 2}, Usage(4, 2)),
        "user and enrichment": ({"user": 4, "enrichment": 3, "output": 2}, Usage(7, 2)),
        "numeric strings": ({"input": "4", "output": "2"}, Usage(4, 2)),
        "null enrichment": ({"user": 4, "enrichment": None, "output": 2}, Usage(4, 2)),
        "null input": ({"input": None, "output": 2}, Usage(10, 2, estimated=True)),
        "no output": ({"input": 4}, Usage(4, 3, estimated=True)),
        "nothing": ({}, Usage(10, 3, estimated=True)),
        "numbers that are none": ({"input": "9" * 5000, "output": 1e30}, Usage(10, 3, estimated=True)),
        "nonsense": ({"input": "many", "output": -1}, Usage(10, 3, estimated=True)),
    }.values(),
)
def test_usage(tokens: object, expected: Usage) -> None:
    reader = StackSpotReader(Notes(), 40)
    reader.receive_data(sse({"message": "ten chars."}, {"stop_reason": "stop", "tokens": tokens}))
    assert expected == reader.usage()


def test_counts() -> None:
    reader = StackSpotReader(Notes(), 0)
    reader.receive_data(sse({"message": "abc"}, {"message": ""}, b"ping"))
    assert (3, 1, 3) == (reader.events, reader.invalid, reader.progress)


def outgoing_body(call: Call) -> dict[str, object]:
    outgoing = AGENT.exchange(call, Round()).outgoing
    assert "/v1/agent/01AGENT/chat" == outgoing.path
    body: dict[str, object] = json.loads(outgoing.body)
    return body


def test_request() -> None:
    body = outgoing_body(a_call("São Paulo?"))
    assert "São Paulo?" in str(body.pop("user_prompt"))
    assert {
        "streaming": True,
        "stackspot_knowledge": False,
        "return_ks_in_response": False,
        "use_conversation": False,
    } == body


def test_tools_are_read_only_when_offered() -> None:
    wire = sse({"message": "FUNCTION_CALL_START\nget_weather\n{}\nFUNCTION_CALL_END"}, END)
    for tools, expected in (((), "text"), ((WEATHER,), "call")):
        notes = Notes()
        AGENT.exchange(a_call(tools=tools), Round()).reader(notes).receive_data(wire)
        assert expected == notes.told[0][0]


def test_several_answers_are_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        AGENT.admit(a_call(answers=2))
    assert "n" == refused.value.param


def envelope(code: str, details: str = "") -> bytes:
    return orjson.dumps({"type": "x", "code": code, "details": details})


TOO_LONG = "Input exceeds the limit of 272000 tokens and resulted in 340000 tokens"
REFUSALS: dict[str, tuple[int, bytes, tuple[int, str, int | None, bool]]] = {
    "unauthorized": (401, b"", (502, "upstream_auth", None, True)),
    "forbidden": (403, b"", (502, "upstream_forbidden", None, True)),
    "no such agent": (404, envelope("X"), (502, "upstream_not_found", None, True)),
    "too long": (
        400,
        envelope("INFERENCE_6001_LLM_MODEL_BAD_REQUEST", TOO_LONG),
        (400, "context_length_exceeded", None, True),
    ),
    "other 400": (400, envelope("INFERENCE_1"), (502, "upstream_rejected", None, True)),
    "rate limit": (429, envelope("INFERENCE_3008_CHAT_RATE_LIMIT_EXCEEDED"), (429, "rate_limit_exceeded", 5, False)),
    "a bare 429": (429, b"", (429, "rate_limit_exceeded", 5, False)),
    "credit": (429, b"Credit Limit Reached", (429, "insufficient_quota", None, True)),
    "500": (500, b"oops", (502, "upstream_failed", None, False)),
    "502 in HTML": (502, b"<html>" + b"x" * 10_000, (502, "upstream_failed", None, False)),
    "503": (503, b"", (502, "upstream_failed", None, False)),
    "504": (504, b"", (504, "upstream_failed", None, False)),
    "a redirect": (302, b"", (502, "upstream_rejected", None, True)),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    status, body, expected = REFUSALS[case]
    error: ProxyError = AGENT.refuse(status, {}, body)
    assert (error.status, error.code, error.retry_after, error.hopeless) == expected
    assert len(error.message) < 500


def test_refusals_say_what_matters() -> None:
    assert "340000 tokens" in AGENT.refuse(400, {}, REFUSALS["too long"][1]).message
    assert "'chat'" in AGENT.refuse(404, {}, b"").message


@pytest.mark.parametrize("case", ["a bare 429", "rate limit", "503"])
def test_the_upstreams_own_retry_after(case: str) -> None:
    status, body, _ = REFUSALS[case]
    assert 7 == AGENT.refuse(status, {"retry-after": "7"}, body).retry_after


def test_agent_ids_and_secrets_stay_inside() -> None:
    said = envelope("X_1", "agent 01AGENT refused secret")
    assert "01AGENT" not in AGENT.refuse(400, {}, said).message
    assert "secret" not in AGENT.refuse(400, {}, said).message
    notes = Notes()
    reader = AGENT.exchange(a_call(), Round()).reader(notes)
    reader.receive_data(b"data: " + said + b"\n\n")
    assert notes.error
    assert "01AGENT" not in notes.error.message


@pytest.mark.parametrize("agent_id", ["a/../b?c#d", "ção"])
def test_agent_ids_are_opaque(agent_id: str) -> None:
    path = replace(AGENT, agent_id=agent_id).exchange(a_call(), Round()).outgoing.path
    assert re.fullmatch(r"/v1/agent/[\w%.]+/chat", path)
