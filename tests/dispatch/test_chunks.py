"""Chunks that a read holds whole, as the reading of one chunk after the other finds them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dispatch.chunks import content_of_whole

CASES: dict[str, tuple[bytes, bytes | None]] = {
    "one": (b"5\r\nhello\r\n", b"hello"),
    "capital letters": (b"A\r\n0123456789\r\n", b"0123456789"),
    "leading zeros": (b"0005\r\nhello\r\n", b"hello"),
    "two": (b"5\r\nhello\r\n1\r\n!\r\n", b"hello!"),
    "line ends inside": (b"6\r\na\r\nb\r\n\r\n", b"a\r\nb\r\n"),
    "what looks like a chunk inside": (b"a\r\n5\r\nhello\r\n\r\n", b"5\r\nhello\r\n"),
    "the last one": (b"0\r\n\r\n", None),
    "the last one behind another": (b"5\r\nhello\r\n0\r\n\r\n", None),
    "cut in its size": (b"5", None),
    "cut behind its size": (b"5\r\n", None),
    "cut in what it holds": (b"5\r\nhel", None),
    "cut before its end": (b"5\r\nhello", None),
    "cut in its end": (b"5\r\nhello\r", None),
    "the second is cut": (b"5\r\nhello\r\n5\r\nhel", None),
    "the second begins": (b"5\r\nhello\r\n5", None),
    "begins in the middle": (b"lo\r\n5\r\nhello\r\n", None),
    "begins with an end": (b"\r\n5\r\nhello\r\n", None),
    "shorter than it says": (b"6\r\nhello\r\n", None),
    "longer than it says": (b"4\r\nhello\r\n", None),
    "another end": (b"5\r\nhello\n\n", None),
    "an extension": (b"5;a=b\r\nhello\r\n", None),
    "a space": (b"5 \r\nhello\r\n", None),
    "a sign": (b"+5\r\nhello\r\n", None),
    "another way to write a number": (b"0x5\r\nhello\r\n", None),
    "LF alone": (b"5\nhello\n", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("case", CASES)
def test_content_of_whole(case: str) -> None:
    data, expected = CASES[case]
    assert expected == content_of_whole(data)


def one_by_one(data: bytes) -> bytes | None:
    """The same, the slow way."""
    content = b""
    while data:
        size, found, rest = data.partition(b"\r\n")
        if not found or not re.fullmatch(rb"[0-9a-fA-F]{1,7}", size) or (length := int(size, 16)) == 0:
            return None
        if rest[length : length + 2] != b"\r\n":
            return None
        content += rest[:length]
        data = rest[length + 2 :]
    return content or None


pieces = st.sampled_from([b"0", b"1", b"2", b"a", b"\r", b"\n", b"\r\n", b"1\r\nx\r\n", b"3\r\n\r\nb\r\n", b"x"])


@given(st.lists(pieces, max_size=12).map(b"".join))
def test_it_finds_what_reading_one_by_one_finds(data: bytes) -> None:
    assert one_by_one(data) == content_of_whole(data)
