"""The JSON lexer: it follows one value to its end and mends on the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.tool_calls.json_lexer import DEPTH_LIMIT, WORD_LIMIT, JsonLexer
from tests.support.cuts import same_however_cut

# What is read, what comes out of it, what is left behind it.
WHOLE = {
    "empty object": ("{}", "{}", ""),
    "stops at its end": ('{"a": 1} tail', '{"a": 1}', " tail"),
    "nested": ('{"a": {"b": [1, {"c": []}]}}x', '{"a": {"b": [1, {"c": []}]}}', "x"),
    "brackets in strings": ('{"a": "}]{["}', '{"a": "}]{["}', ""),
    "escaped quote": (r'{"a": "x\"}"}', r'{"a": "x\"}"}', ""),
    "escaped backslash at the end": (r'{"a": "x\\"}', r'{"a": "x\\"}', ""),
    "unicode escape": (r'{"a": "\u00e3"}', r'{"a": "\u00e3"}', ""),
    "white space is kept": ('{\n  "a" : 1\n}', '{\n  "a" : 1\n}', ""),
    "numbers": ('{"a": [-1.5e+10, 0]}', '{"a": [-1.5e+10, 0]}', ""),
    "literals": ('{"a": [true, false, null]}', '{"a": [true, false, null]}', ""),
    "Python's literals": ('{"a": [True, False, None]}', '{"a": [true, false, null]}', ""),
    "raw newline and tab": ('{"a": "x\ny\tz"}', r'{"a": "x\ny\tz"}', ""),
    "raw control character": ('{"a": "x\x01"}', r'{"a": "x\u0001"}', ""),
    "trailing comma": ('{"a": [1, 2, ], }', '{"a": [1, 2 ] }', ""),
    "an escape that JSON lacks": (r'{"a": "\d+"}', r'{"a": "\\d+"}', ""),
    "an escaped apostrophe": (r'{"a": "it\'s"}', r'{"a": "it' + "'" + r's"}', ""),
    "a whole string": ('"a\nb"rest', r'"a\nb"', "rest"),
}
BROKEN = {
    "a bare word": '{"a": hello}',
    "an unescaped quote": '{"a": "x "y" z"}',
    "a bracket that does not fit": '{"a": [1}',
    "two commas": '{"a": 1,, "b": 2}',
    "an apostrophe for a quote": "{'a': 1}",
    "not a number": '{"a": NaN}',
}
OPEN = ['{"a": ', '{"a": "x', '{"a": "x\\', '{"a": 1', "{", '{"a": tru']


def lex(pieces: list[str]) -> tuple[str, str, bool]:
    lexer, out, rest = JsonLexer(), "", ""
    for piece in pieces:
        read = lexer.receive_text(piece)
        out += lexer.take()
        rest += piece[read:]
    return out, "" if lexer.fault else rest, lexer.complete


@pytest.mark.parametrize("case", WHOLE)
def test_whole(case: str) -> None:
    text, out, rest = WHOLE[case]
    assert (out, rest, True) == same_however_cut(text, lex)
    json.loads(out)


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str) -> None:
    def fault(pieces: list[str]) -> str:
        lexer = JsonLexer()
        for piece in pieces:
            lexer.receive_text(piece)
        assert not lexer.complete
        return lexer.fault

    assert same_however_cut(BROKEN[case], fault)


@pytest.mark.parametrize("text", OPEN)
def test_open(text: str) -> None:
    """Neither complete nor at fault: more is to come."""
    lexer = JsonLexer()
    assert len(text) == lexer.receive_text(text)
    assert (False, "") == (lexer.complete, lexer.fault)


def test_bounds() -> None:
    deep, long = JsonLexer(), JsonLexer()
    deep.receive_text('{"a":' * (DEPTH_LIMIT + 1))
    long.receive_text('{"a": ' + "1" * (WORD_LIMIT + 1))
    assert deep.fault
    assert long.fault


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_any_json_comes_out_as_it_is(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps({"value": value}, indent=indent, ensure_ascii=ascii_only)
    assert (text, "", True) == lex([text]) == lex(list(text))
