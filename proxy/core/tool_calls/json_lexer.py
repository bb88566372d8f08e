"""An incremental lexer for the JSON that models write as tool arguments."""

import re
from math import isfinite

_STRING_RUN = re.compile(r'[^"\\\x00-\x1f]+')
_SPACE_RUN = re.compile(r"[ \t\r\n]+")
_WORD_RUN = re.compile(r"[A-Za-z0-9_+\-.]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {
    "true": "true", "false": "false", "null": "null",
    "True": "true", "False": "false", "None": "null",
}  # fmt: skip
_CONTROL = {chr(code): f"\\u{code:04x}" for code in range(32)} | {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLOSES = {"}": "{", "]": "["}
WORD_LIMIT = 512
DEPTH_LIMIT = 200


class JsonLexer:
    """Follows one JSON value, an object or a string, to its end, and mends on the way what models get wrong.

    Mended: raw newlines and tabs inside strings, escapes that JSON does not have, ``True``, ``False`` and
    ``None``, and a comma before a closing bracket. Numbers that JSON lacks, such as ``-Infinity`` and
    ``1e999``, are faults. What was read comes out through ``take``, mended and never
    taken back, so it can be passed on while it still grows. ``complete`` says that the value is closed;
    ``fault`` says in words what cannot be mended. Both end the reading. The grammar between the tokens is
    not checked here: parse what came out.
    """

    def __init__(self) -> None:
        self.complete = False
        self.fault = ""
        self._out: list[str] = []
        self._stack: list[str] = []
        self._string = False
        self._escape = False
        self._word = ""
        self._comma: list[str] = []  # a comma and the space after it, until what follows is known

    def receive_text(self, text: str, at: int = 0) -> int:
        """Reads from ``at`` on; the index behind the last character that belongs to the value."""
        end = len(text)
        while at < end and not self.complete and not self.fault:
            at = self._in_string(text, at) if self._string else self._between(text, at)
        return at

    @property
    def in_string(self) -> bool:
        """What is read next belongs to a string."""
        return self._string

    def close_last_brace(self) -> None:
        """Closes a value that ends here although its last brace, and nothing else, is missing; otherwise sets
        ``fault``."""
        if self._word:
            self._end_word()
        if not self.fault and self._stack == ["{"] and not self._comma:
            self._close("}")
        elif not self.fault:
            self.fault = "the arguments are not closed"

    def take(self) -> str:
        """What was read since the last call, mended."""
        out = "".join(self._out)
        self._out.clear()
        return out

    def _in_string(self, text: str, at: int) -> int:
        char = text[at]
        if self._escape:
            self._escape = False
            if char in '"\\/bfnrtu':
                self._out.append("\\" + char)
            elif char == "'":
                self._out.append(char)
            else:  # "\d": the backslash was meant as one
                self._out.append("\\\\" + _CONTROL.get(char, char))
            return at + 1
        if run := _STRING_RUN.match(text, at):
            self._out.append(run.group())
            return run.end()
        if char == "\\":
            self._escape = True
        elif char == '"':
            self._out.append(char)
            self._string = False
            self.complete = not self._stack
        else:
            self._out.append(_CONTROL[char])
        return at + 1

    def _between(self, text: str, at: int) -> int:
        if run := _WORD_RUN.match(text, at):
            self._word += run.group()
            if len(self._word) > WORD_LIMIT:
                self.fault = "a number or word that does not end"
            return run.end()
        if self._word:
            self._end_word()
            return at
        char = text[at]
        if run := _SPACE_RUN.match(text, at):
            (self._comma or self._out).append(run.group())
            return run.end()
        if char == "," and not self._comma:
            self._comma.append(char)
        elif char in "}]":
            self._close(char)
        elif char in '{["' or (char == ":" and not self._comma):
            self._end_comma()
            self._out.append(char)
            if char == '"':
                self._string = True
            elif char != ":":
                self._stack.append(char)
                if len(self._stack) > DEPTH_LIMIT:
                    self.fault = f"nested deeper than {DEPTH_LIMIT}"
        else:
            self.fault = f"unexpected {char!r}"
        return at + 1

    def _end_word(self) -> None:
        word, self._word = self._word, ""
        if word not in _WORDS and not _is_number(word):
            self.fault = f"unexpected {word[:40]!r}"
            return
        self._end_comma()
        self._out.append(_WORDS.get(word, word))

    def _end_comma(self) -> None:
        self._out += self._comma
        self._comma.clear()

    def _close(self, char: str) -> None:
        self._out += self._comma[1:]
        self._comma.clear()
        if not self._stack or self._stack.pop() != _CLOSES[char]:
            self.fault = f"unexpected {char!r}"
            return
        self._out.append(char)
        self.complete = not self._stack


def _is_number(word: str) -> bool:
    """JSON has such a number, and it is finite for those who read it into a float."""
    return _NUMBER.fullmatch(word) is not None and (word.lstrip("-").isdecimal() or isfinite(float(word)))


def object_in_string(text: str) -> str | None:
    """The JSON object that ``text`` is, mended; None if it is none."""
    lexer, text = JsonLexer(), text.strip()
    whole = text.startswith("{") and lexer.receive_text(text) == len(text) and lexer.complete
    return lexer.take() if whole else None
