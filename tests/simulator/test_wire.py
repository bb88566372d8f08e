"""An answer's bytes and their times, switch by switch, as transcripts."""

from itertools import islice
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.simulator.script import Answer, Cut, Pause, StreamError
from proxy.simulator.wire import Generation, Step, pieces, split, stream, whole, whole_s

DELTAS = 'data: {"message":"Olá"}\n\ndata: {"message":" ha"}\n\n'
END = 'data: {"message":"","stop_reason":"stop","tokens":{"input":3,"output":2},"message_id":"M1"}\n\n'


def generation(interval_s: float = 0.0, **fields: Any) -> Generation:
    answer = Answer(**{"deltas": ("Olá", " ha"), **fields})
    return Generation(answer, answer.text or "", "a prompt so", interval_s, "M1", "C1")


def steps(interval_s: float = 0.0, **fields: Any) -> list[Step]:
    return list(stream(generation(interval_s, **fields)))


def said(**fields: Any) -> str:
    return b"".join(step for step in steps(**fields) if isinstance(step, bytes)).decode()


def end(**changes: Any) -> str:
    """The final event with some of its members changed, or left out where None is given as `...`."""
    event = orjson.loads(END.removeprefix("data: ")) | changes
    kept = {name: value for name, value in event.items() if value is not ...}
    return f"data: {orjson.dumps(kept).decode()}\n\n"


LISTS = ("knowledge_source_id", "source", "cross_account_source", "tools_id", "agent_info")
FULL = '"upload_ids":{},' + "".join(f'"{name}":[],' for name in LISTS)
EMPTY = 'data: {"message":""}\n\n'
OOPS = '{"message":"no","code":"E1"}'

TRANSCRIPTS: dict[str, tuple[dict[str, Any], str]] = {
    "as it is": ({}, DELTAS + END),
    "repeated deltas are kept": (
        {"deltas": ("ha", "ha"), "tokens": "none"},
        'data: {"message":"ha"}\n\n' * 2 + end(tokens=...),
    ),
    "text in pieces like words": ({"deltas": None, "text": "Olá ha"}, DELTAS + END),
    "text in pieces of two characters": (
        {"deltas": None, "text": "Olá", "delta_chars": 2},
        'data: {"message":"Ol"}\n\ndata: {"message":"á"}\n\n' + end(tokens={"input": 3, "output": 1}),
    ),
    "full deltas": ({"shape": "full"}, DELTAS.replace("{", "{" + FULL) + END),
    "openai's deltas": (
        {"shape": "openai", "deltas": ("Olá",), "tokens": "none"},
        'data: {"choices":[{"index":0,"delta":{"content":"Olá"}}]}\n\n'
        'data: {"choices":[{"index":0,"delta":{"content":""}}],"stop_reason":"stop","message_id":"M1"}\n\n',
    ),
    "null stop reasons": ({"null_stop_reason": True}, DELTAS.replace("}", ',"stop_reason":null}') + END),
    "leading empties": ({"leading_empty": 2}, EMPTY * 2 + DELTAS + END),
    "trailing empties": ({"trailing_empty": 2}, DELTAS + EMPTY * 2 + END),
    "no final event": ({"final": False}, DELTAS),
    "text in the final event": (
        {"final_text": "!"},
        DELTAS + end(message="!"),
    ),
    "another stop reason": ({"stop_reason": "length"}, DELTAS + end(stop_reason="length")),
    "a final stop reason of null": ({"stop_reason": None}, DELTAS + end(stop_reason=None)),
    "no stop reason": ({"omit_stop_reason": True}, DELTAS + end(stop_reason=...)),
    "tokens of the docs": (
        {"tokens": "user"},
        DELTAS + end(tokens={"user": 3, "enrichment": 0, "output": 2}),
    ),
    "no tokens": ({"tokens": "none"}, DELTAS + end(tokens=...)),
    "null tokens": ({"tokens": "null"}, DELTAS + end(tokens=None)),
    "tokens as given": (
        {"tokens": {"input": "7", "x": None}},
        DELTAS + end(tokens={"input": "7", "x": None}),
    ),
    "a message id as given": ({"message_id": "M9"}, DELTAS + end(message_id="M9")),
    "no message id": ({"message_id": False}, DELTAS + end(message_id=...)),
    "[DONE]": ({"done": True}, DELTAS + END + "data: [DONE]\n\n"),
    "[DONE] without a final event": ({"done": True, "final": False}, DELTAS + "data: [DONE]\n\n"),
    "CR LF": ({"line_end": "crlf"}, (DELTAS + END).replace("\n", "\r\n")),
    "comments": ({"comments": True}, (DELTAS + END).replace("data", ": simulator\n\ndata")),
    "ids": (
        {"ids": True, "final": False},
        'id: 1\ndata: {"message":"Olá"}\n\nid: 2\ndata: {"message":" ha"}\n\n',
    ),
    "a byte order mark": ({"bom": True}, "\ufeff" + DELTAS + END),
    "cut at once": ({"cut": Cut("clean")}, ""),
    "cut after one": ({"cut": Cut("clean", 1)}, 'data: {"message":"Olá"}\n\n'),
    "cut after empties": ({"cut": Cut("clean", 1), "leading_empty": 1}, EMPTY),
    "cut beyond the last": ({"cut": Cut("clean", 9)}, DELTAS),
    "cut in an event": ({"cut": Cut("half_event", 1)}, 'data: {"message":"Olá"}\n\ndata: {"mess'),
    "cut in an event beyond the last": ({"cut": Cut("half_event", 9)}, DELTAS + 'data: {"message":"n'),
    "an error of a type": (
        {"error": StreamError("type", 1, "no", "E1")},
        'data: {"message":"Olá"}\n\ndata: {"type":"error",' + OOPS[1:] + "\n\n",
    ),
    "an event named error": (
        {"error": StreamError("event", 0, "no", "E1")},
        f"event: error\ndata: {OOPS}\n\n",
    ),
    "an error object": (
        {"error": StreamError("object", 9, "no", "E1")},
        DELTAS + 'data: {"error":' + OOPS + "}\n\n",
    ),
}


@pytest.mark.parametrize(("fields", "expected"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_transcript(fields: dict[str, Any], expected: str) -> None:
    assert said(**fields) == expected


def test_enrichment_is_a_part_of_the_prompt() -> None:
    """So that a reader who leaves it out counts wrong."""
    answer = Answer(tokens="user", deltas=())
    (event,) = stream(Generation(answer, "", "x" * 400, 0.0, "M1"))
    assert isinstance(event, bytes)
    tokens = orjson.loads(event.removeprefix(b"data: "))["tokens"]
    assert tokens == {"user": 75, "enrichment": 25, "output": 0}


@pytest.mark.parametrize("after", [0, 1, 2, 9])
def test_half_a_character_is_no_utf8(after: int) -> None:
    body = b"".join(step for step in steps(cut=Cut("half_utf8", after)) if isinstance(step, bytes))
    with pytest.raises(UnicodeDecodeError, match="unexpected end of data"):
        body.decode()
    assert "data" in body[:-1].decode()  # it lacks nothing else


def test_endless_empty_deltas() -> None:
    events = list(islice(stream(generation(endless_empty=True)), 1000))
    assert [EMPTY.encode()] * 998 == events[2:]


TIMES: dict[str, tuple[dict[str, Any], list[float | str]]] = {
    "the interval lies between deltas": ({"interval_s": 0.5}, ["x", 0.5, "x", "x"]),
    "silence before the first event": ({"before_events_s": 3.0}, [3.0, "x", "x", "x"]),
    "a pause": ({"pause": Pause(2.0, 1)}, ["x", 2.0, "x", "x"]),
    "a pause before the first": ({"pause": Pause(2.0)}, [2.0, "x", "x", "x"]),
    "a pause before the final event": ({"pause": Pause(2.0, 9)}, ["x", "x", 2.0, "x"]),
}


@pytest.mark.parametrize(("fields", "expected"), TIMES.values(), ids=TIMES)
def test_times(fields: dict[str, Any], expected: list[float | str]) -> None:
    assert [step if isinstance(step, float) else "x" for step in steps(**fields)] == expected


def test_split_cuts_across_events() -> None:
    writes = steps(split=7)
    assert [7] * (len(writes) - 1) == [len(write) for write in writes[:-1] if isinstance(write, bytes)]
    assert said(split=7) == DELTAS + END


def test_split_sends_what_it_holds_before_a_silence() -> None:
    assert list(split([b"ab", b"cd", 1.0, b"ef"], 3)) == [b"abc", b"d", 1.0, b"ef"]


def test_split_with_gaps() -> None:
    assert list(split([b"abcde"], 2, 0.5)) == [b"ab", 0.5, b"cd", 0.5, b"e"]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=10), st.integers(min_value=1, max_value=50))
def test_split_loses_nothing(writes: list[bytes], size: int) -> None:
    cut = list(split(writes, size))
    assert b"".join(writes) == b"".join(step for step in cut if isinstance(step, bytes))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_pieces_lose_nothing(text: str) -> None:
    assert text == "".join(pieces(text))


class TestWhole:
    """The answers to `streaming: false`."""

    def test_has_everything(self) -> None:
        body = orjson.loads(whole(generation(final_text="!")))
        assert body["message"] == "Olá ha!"
        assert body["stop_reason"] == "stop"
        assert body["tokens"] == {"input": 3, "output": 2}
        assert (body["message_id"], body["conversation_id"]) == ("M1", "C1")

    def test_without_an_end(self) -> None:
        assert "stop_reason" not in orjson.loads(whole(generation(final=False)))

    @pytest.mark.parametrize(
        ("fields", "seconds"),
        [
            pytest.param({"interval_s": 0.5}, 1.0, id="the text"),
            pytest.param({"pause": Pause(2.0)}, 2.0, id="a pause"),
            pytest.param({"before_events_s": 3.0}, 3.0, id="silence"),
            pytest.param({"endless_empty": True}, float("inf"), id="endless"),
        ],
    )
    def test_takes_as_long_as_the_stream(self, fields: dict[str, Any], seconds: float) -> None:
        assert whole_s(generation(**fields)) == seconds
