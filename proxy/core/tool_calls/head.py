"""The head of a block: what a model writes between a start marker and the arguments."""

import re
from enum import Enum, auto
from typing import NamedTuple

from proxy.core.tool_calls.fences import FENCE, FENCE_BEGUN
from proxy.core.tool_calls.markers import INVISIBLE, LONGEST, Markers, fold
from proxy.core.tool_calls.names import ToolNames

HEADER_LIMIT = 512
"""Characters from the start marker to the arguments."""


_DRESS = rf" \t\r\n`*#>~:.=|\"'\]){INVISIBLE}-"
_BEFORE_NAME = re.compile(rf"(?:[{_DRESS}]|&(?:gt|lt|quot|nbsp);|_{{1,3}}(?=\s))*")
_NAME_LABEL = re.compile(
    r"(?:function[_ ]name|tool[_ ]name|function|tool|name|call)[`*\"' \t]{0,8}[:=]|"
    r"<(?:function|tool|tool_name|invoke|call|name)(?:[ \t]+name)?[ \t]*[=:>]"
)
_NAME_LABEL_BEGUN = re.compile(
    r"(?:<[a-z_ \t]{0,32}|(?:function|tool)(?:[_ ](?:n(?:a(?:me?)?)?)?)?[`*\"' \t]{0,8}|(?:name|call)[`*\"' \t]{0,8})\Z"
)
_NAME = re.compile(rf"[\w.\\/:{INVISIBLE}-]{{1,192}}")
_AFTER_NAME = re.compile(rf"[\"'`*\]>){INVISIBLE}]*[ \t]*(?:[:.=-][`*]*[ \t]*)?")
_LABEL = re.compile(
    r"[*`_\"']{0,4}(?:arguments|args|parameters|params|input|argument|parameter)[*`_\"']{0,4}"
    r"[ \t]{0,16}(?:\(?json\)?[ \t]{0,16})?(?:[:=]|(?=\s{0,64}\{))"
)
_LABEL_BEGUN = re.compile(r"[*`_\"']{0,4}[a-z]{0,10}[*`_\"']{0,4}[ \t]{0,16}\(?(?:j(?:s(?:o(?:n)?)?)?)?\)?\s{0,64}\Z")
_LINE_DRESS = frozenset("*#>-`~:_")
_LABELS = ("arguments", "args", "parameters", "params", "input")


class Form(Enum):
    MORE = auto()  # more text will tell
    PROSE = auto()  # the marker opened nothing
    VALUE = auto()  # a name, and the arguments are to follow
    BARE = auto()  # a name without arguments, up to an end marker
    JSON = auto()  # the whole call is to follow as JSON
    UNREADABLE = auto()


class Head(NamedTuple):
    """``end`` is where the arguments begin. ``doubtful``: it may be a sentence about calls."""

    form: Form
    end: int = 0
    name: str = ""
    fences: int = 0
    fault: str = ""
    doubtful: bool = False


MORE = Head(Form.MORE)
PROSE = Head(Form.PROSE)


class HeadReader:
    """Reads heads of one request. ``read`` looks at all of a head each time: it is short."""

    __slots__ = ("_markers", "names")

    def __init__(self, markers: Markers, names: ToolNames) -> None:
        self._markers = markers
        self.names = names

    def read(self, text: str, *, own_line: bool, at_end: bool = False) -> Head:
        """What a text after a start marker begins with. ``own_line``: nothing stood before the marker on its line."""
        folded = fold(text[: HEADER_LIMIT + 256])
        head = self._read(text, folded, own_line=own_line, at_end=at_end)
        if head.form is not Form.MORE:
            return head
        if len(text) > HEADER_LIMIT and not at_end:
            head = self._read(text, folded, own_line=own_line, at_end=True)
        elif not at_end:
            return head
        return PROSE if head.form is Form.MORE else head

    def _read(self, text: str, folded: str, *, own_line: bool, at_end: bool) -> Head:
        at, fences = 0, 0
        while (fence := FENCE.match(folded, _skip_space(folded, at))) is not None:
            at, fences = fence.end(), fences + 1
        if FENCE_BEGUN.match(folded, _skip_space(folded, at)) and not at_end:
            return MORE
        at = _BEFORE_NAME.match(folded, at).end()  # type: ignore[union-attr]  # it may be empty
        if at == len(folded):
            if at_end and (own_line or not folded.strip()):
                return Head(Form.UNREADABLE, at, fault="the text ends behind the start marker", doubtful=True)
            return MORE
        if folded[at] == "{" or (folded[at] == "[" and folded[at + 1 :].lstrip()[:1] == "{"):
            return Head(Form.JSON, at, fences=fences)
        if folded[at] == "[" and not folded[at + 1 :].strip():
            return MORE
        if self._markers.one_at(folded, at):
            return PROSE
        if self._markers.may_begin_at(folded, at) or (folded[at] == "&" and len(folded) - at < 8):
            return MORE
        if (label := _NAME_LABEL.match(folded, at)) is not None:
            at = _BEFORE_NAME.match(folded, label.end()).end()  # type: ignore[union-attr]
        elif _NAME_LABEL_BEGUN.match(folded, at):
            return MORE
        return self._named(text, folded, at, fences, at_end=at_end)

    def _named(self, text: str, folded: str, at: int, fences: int, *, at_end: bool) -> Head:
        token = _NAME.match(text, at)
        if token is None:
            return MORE if at == len(folded) else PROSE
        behind = self._markers.first(folded[: token.end() + LONGEST], at, token.end())  # a marker glued to the name
        ended = behind < len(text)
        name = self.names.meant(text[at:behind])
        if not ended:
            if at_end and (name.known or self.names.begins_one(text[at:behind])):
                return Head(Form.UNREADABLE, behind, name.name, fault="the text ends inside the call")
            return MORE
        own_line = "\n" in text[:at]
        if not (name.known or (own_line and behind - at <= 128)):
            return PROSE
        after = _AFTER_NAME.match(folded, behind).end()  # type: ignore[union-attr]
        if name.known and folded.startswith("(", after):
            return self._in_brackets(folded, after + 1, name.name, fences, at_end=at_end)
        return self._behind_name(folded, after, name.name, fences, known=name.known, at_end=at_end)

    def _in_brackets(self, folded: str, at: int, name: str, fences: int, *, at_end: bool) -> Head:
        at = _skip_space(folded, at)
        if at == len(folded):
            return self._cut_off(at, name, known=True) if at_end else MORE
        if folded[at] == ")":
            return self._behind_name(folded, at + 1, name, fences, known=True, at_end=at_end)
        if folded[at] in '{"':
            return Head(Form.VALUE, at, name, fences)
        return Head(Form.UNREADABLE, at, name, fault="the arguments are not a JSON object")

    def _behind_name(self, folded: str, after: int, name: str, fences: int, *, known: bool, at_end: bool) -> Head:
        if not known and folded[after : after + 1] not in ("\n", "\r", ""):
            return PROSE
        at = skip_dress(folded, after)
        if at == len(folded):
            return self._cut_off(at, name, known=known) if at_end else MORE
        if self._markers.one_at(folded, at):
            return Head(Form.BARE, at, name, fences)
        if (label := _LABEL.match(folded, at)) is not None:
            return Head(Form.VALUE, label.end(), name, fences)
        begun = (
            self._markers.may_begin_at(folded, at)
            or (_LABEL_BEGUN.match(folded, at) and _may_become_label(folded[at:]))
            or FENCE_BEGUN.match(folded, at)
        )
        if begun:
            return self._cut_off(len(folded), name, known=known) if at_end else MORE
        if folded[at] == "{" or (known and (folded[at] == '"' or FENCE.match(folded, at))):
            return Head(Form.VALUE, at, name, fences)
        if known:
            return Head(Form.UNREADABLE, at, name, fault="the arguments do not begin", doubtful=True)
        return PROSE

    def _cut_off(self, at: int, name: str, *, known: bool) -> Head:
        return Head(Form.UNREADABLE, at, name, fault="the text ends inside the call") if known else PROSE


def _skip_space(folded: str, at: int) -> int:
    return len(folded) - len(folded[at:].lstrip(f" \t\r\n{INVISIBLE}"))


def skip_dress(folded: str, at: int) -> int:
    """Skips white space and the markdown of a line, but no code fence."""
    while True:
        at = _skip_space(folded, at)
        if FENCE.match(folded, at) or FENCE_BEGUN.match(folded, at) or folded[at : at + 1] not in _LINE_DRESS:
            return at
        at += 1


def _may_become_label(begun: str) -> bool:
    word = begun.strip("*`_\"'# \t").partition(" ")[0].partition("*")[0]
    return not word or any(label.startswith(word) for label in _LABELS)
