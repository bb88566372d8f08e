"""Framing: events out of bytes, for every line ending and every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.sse import Decoder, Event
from tests.support.cuts import same_however_cut

CASES = {
    "one event": (b"data: a\n\n", [(b"", b"a")]),
    "two events": (b"data: a\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
    "no space behind the colon": (b"data:a\n\n", [(b"", b"a")]),
    "only one space is taken off": (b"data:  a\n\n", [(b"", b" a")]),
    "lines of one event join": (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    "a bare data line is an empty one": (b"data\ndata: b\n\n", [(b"", b"\nb")]),
    "a name": (b"event: error\ndata: a\n\n", [(b"error", b"a")]),
    "a name holds for one event": (b"event: x\ndata: a\n\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")]),
    "a name without data is dropped": (b"event: ping\n\ndata: b\n\n", [(b"", b"b")]),
    "comments": (b": hi\n:\ndata: a\n: between\n\n", [(b"", b"a")]),
    "ids, retry times and unknown fields": (b"id: 7\nretry: 10\nfoo: bar\ndata: a\n\n", [(b"", b"a")]),
    "a BOM": (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    "a BOM only at the start": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
    "empty data": (b"data:\n\n", [(b"", b"")]),
    "UTF-8": ("data: São\n\n".encode(), [(b"", "São".encode())]),
    "blank lines": (b"\n\n\ndata: a\n\n\n\n", [(b"", b"a")]),
    "an event that is not closed": (b"data: a\n\ndata: b\n", [(b"", b"a")]),
}


def decode(pieces: list[bytes]) -> list[Event]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.receive_data(piece)]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("case", CASES)
def test_cases(case: str, ending: bytes) -> None:
    data, expected = CASES[case]
    assert expected == same_however_cut(data.replace(b"\n", ending), decode)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\n", None),
        (b"data: a\n", (b"", b"a")),
        (b"data: a", (b"", b"a")),
        (b"event: error\ndata: a", (b"error", b"a")),
        (b": comment", None),
        (b"", None),
    ],
)
def test_end_without_a_blank_line(data: bytes, expected: Event | None) -> None:
    """What is left at the end is handed out apart: only its data tells whether it is whole."""

    def read(pieces: list[bytes]) -> Event | None:
        decoder = Decoder()
        for piece in pieces:
            decoder.receive_data(piece)
        return decoder.receive_eof()

    assert expected == (same_however_cut(data, read) if data else read([]))


@pytest.mark.parametrize("data", [b"data: " + b"x" * 100, b"data: x\n" * 50, b"x" * 101])
def test_limit(data: bytes) -> None:
    """Neither a line nor the lines of one event may grow without bound."""
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        decoder = Decoder(limit=64)
        for piece in pieces:
            decoder.receive_data(piece)
        assert decoder.overflow
        assert [] == decoder.receive_data(b"data: more\n\n")


def test_events_before_one_that_is_too_long_come_out() -> None:
    decoder = Decoder(limit=64)
    assert [(b"", b"a")] == decoder.receive_data(b"data: a\n\ndata: " + b"x" * 100)
    assert decoder.overflow


def test_the_limit_is_for_one_event() -> None:
    decoder = Decoder(limit=64)
    assert 50 == len(decoder.receive_data(b"data: x\n\n" * 50))


@given(st.lists(st.binary(max_size=20).filter(lambda data: not set(data) & set(b"\r\n"))), st.data())
def test_any_data_comes_out(payloads: list[bytes], draw: st.DataObject) -> None:
    wire = b"".join(b"data: " + payload + b"\n\n" for payload in payloads)
    places = sorted(draw.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    assert payloads == [data for _, data in decode(pieces)]


@given(st.binary(max_size=200))
def test_nonsense_is_survived(data: bytes) -> None:
    same = [decode([data]), decode([data[at : at + 1] for at in range(len(data))])]
    assert same[0] == same[1]
