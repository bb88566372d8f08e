"""Text that says nothing any more, and is read by machines as it was."""

import re

_SPOKEN = frozenset(
    b"a access account agent allowed already an and api are argument arguments as at authentication authorization "
    b"available bad be been body by call cannot character characters client code completion concurrent connection "
    b"content context conversation credentials credit data denied details does due error exceeded exceeds expected "
    b"expired extra failed field for forbidden found from gateway generation has have id in inference inputs "
    b"insufficient internal invalid is it json key large length less limit limits llm long many maximum may message "
    b"messages method minute missing model models must no not of on or organization out over overloaded parameter "
    b"per permission permitted plan platform please policy prompt provided provider quota rate reached read realm "
    b"reduce refused rejected request requests required resource resulted retry route seconds server service should "
    b"size stackspot status stream string support supported temporarily than that the this time timed timeout to "
    b"token tokens tokens. too try type unable unauthorized unavailable unexpected unknown unprocessable unsupported "
    b"upstream url usage user valid value was when while with within wrong you your".split()
)
"""What services say of themselves in errors. A person's words are told only where they are among these."""

_KEPT = rb"""
      FUNCTION_CALL_START\w* (?:[ \t]|\\[rnt])* (?:function_name[ \t]*:[ \t]*)? (?:`|\\"|')? [\w.:/-]{0,128}
    | FUNCTION_CALL_END\w*
    | \\u[0-9a-fA-F]{4}
    | \\.
    | (?:(?<!\w) | (?<=\\[nrt])) (?: true | false | null | True | False | None | [Aa]rguments ) \b
    | (?:(?<!\w) | (?<=\\[nrt])) (?: [A-Z]{2,}_\d{4} \w* | \d{1,12} [ ] tokens \b )
    | \d+ (?:\.\d+)? [eE] [+-]? \d+
"""
_IN_TEXT = re.compile(_KEPT, re.VERBOSE)
_IN_ERRORS = re.compile(_KEPT + rb"| (?P<word> [A-Za-z]+ )", re.VERBOSE)
_EXPONENT = re.compile(rb"\d+(?:\.\d+)?[eE][+-]?\d+")


def _table() -> bytes:
    """A character of so many bytes becomes one of as many, whatever it was; digits become digits."""
    table = bytearray(range(256))
    for ordinary, written in ((b"abcdefghijklmnopqrstuvwxyz", b"x"), (b"0123456789", b"1")):
        for byte in ordinary:
            table[byte] = written[0]
        for byte in ordinary.upper():
            table[byte] = written.upper()[0]
    for byte in range(0x80, 0x100):
        table[byte] = 0xA9 if byte < 0xC0 else 0xC3 if byte < 0xE0 else 0xE2 if byte < 0xF0 else 0xF0
    return bytes(table)


_TABLE = _table()
_DIGITS = bytes.maketrans(b"0123456789", b"1" * 10)


def mask(text: bytes, blunt: bool) -> bytes:
    """``text``, the inside of JSON strings, with its letters and digits replaced one by one. White space, punctuation
    and what makes a tool call stay; of a ``blunt`` text, one that tells of an error, also the words that services
    use for such."""

    def one(found: re.Match[bytes]) -> bytes:
        token = found[0]
        if blunt and found["word"]:
            return token if token.lower() in _SPOKEN else token.translate(_TABLE)
        if len(token) > 2 and token.startswith(b"\\u"):
            return _escape(token)
        return token.translate(_DIGITS) if _EXPONENT.fullmatch(token) else token

    pieces: list[bytes] = []
    at = 0
    for found in (_IN_ERRORS if blunt else _IN_TEXT).finditer(text):
        pieces += (text[at : found.start()].translate(_TABLE), one(found))
        at = found.end()
    pieces.append(text[at:].translate(_TABLE))
    return b"".join(pieces)


def _escape(token: bytes) -> bytes:
    """An escaped character becomes another one of its kind."""
    code = int(token[2:], 16)
    if code < 0x80:
        return b"\\u0078" if chr(code).isalnum() else token
    if 0xD800 <= code < 0xDC00:
        return b"\\ud83d"
    if 0xDC00 <= code < 0xE000:
        return b"\\ude00"
    return b"\\u00e9" if code < 0x800 else b"\\u2a69"
