"""Recognise calls that are written in the format of some other model or API.

Such a text may be an example, so it is never taken for a call. It counts only when it names an offered tool where the
format has its name. Positions are those in a folded text.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from proxy.core.tool_calls.markers import fold


class Verdict(Enum):
    NO = auto()
    MORE = auto()  # more text will tell
    YES = auto()
    WHOLE = auto()  # yes, if the answer is nothing else


class Opened(NamedTuple):
    """The opener of a format, which ends at ``end``. A ``bare`` one is nothing but the call's own JSON."""

    end: int
    bare: bool = False


NAME_LIMIT = 256
"""Characters from an opener to the name of a tool."""
OBJECT_LIMIT = 2048
"""The same, where the call is a JSON object: its arguments may come first."""

_TAG = re.compile(r"<[|]?[ \t]?([a-z_][\w▁.:|-]{0,63})")
_TAG_BEGUN = re.compile(r"<[|]?[ \t]?(?:[a-z_][\w▁.:|-]{0,63})?\Z")
_TAG_OF_A_CALL = re.compile(r"tool|function|invoke|call|python|channel|dsml|action|^start|^open")
_BRACKETED = ("[tool_calls]", "[tool_call]", "[tool_request]", "[function_call]", "[function_calls]", "[tool]")
_ACTION = re.compile(r"action[*_ \t]*:[*_ \t]*")
_ACTION_BEGUN = re.compile(r"a(?:\Z|c(?:\Z|t(?:\Z|i(?:\Z|o(?:\Z|n[*_ \t]*\Z)))))|action[*_ \t]*:[*_ \t]*\Z")
_LIST_OF_OBJECTS = re.compile(r"\[\s{0,64}\{")
_LIST_BEGUN = re.compile(r"\[\s{0,64}\Z")
_IDENTIFIER = re.compile(r"\b(?:id|call_id|tool_call_id|index)\s*=\s*[\"'][^\"'\n]{0,64}[\"']")
_TOKEN = re.compile(r"\{|[^\W_][\w.:/-]*")
_MODULES = ("functions", "default_api", "tools")
_DOTS = re.compile(r"[.:/]")
_PIECES = re.compile(r"[._:/-]+")
_STRUCTURE = re.compile(
    r"""
    tools? | calls? | functions? | functools | invoke | name | type | use | begin | section | sep | start | id | index
    | to | json | python | py | commentary | message | constrain | channel | recipient | default | api | print | action
    | dsml | xml | code | assistant | request | arguments | args | tag | execute | server | mcp | minimax | seed
    | open | analysis | longcat | antml | multi | parallel | input | parameters? | param | [0-9]+
    """,
    re.VERBOSE,
)
"""The words of all these formats that stand before the name of a tool."""
_FIRST_KEY = re.compile(r"\{\s*[\"']([\w-]+)[\"']\s*:")
_FIRST_KEY_BEGUN = re.compile(r"\{\s*(?:[\"'](?:[\w-]{0,32}(?:[\"']\s*)?)?)?\Z")
_CALL_KEY = re.compile(
    r"""
    name | tool | function | tool_name | function_name | recipient_name | action | tool_calls? | function_call
    | tool_uses | type | id | index | arguments | parameters | args | params | input | action_input | tool_input
    | kwargs
    """,
    re.VERBOSE,
)
_NAMED = re.compile(
    r"[\"'](?:name|tool|function|tool_name|function_name|recipient_name|action)[\"']\s*:\s*[\"']([\w.:/-]+)[\"']"
)
_NAME_FIRST = frozenset(("name", "tool", "tool_name", "function_name", "recipient_name", "action"))
_ARGUMENTS = re.compile(r"[\"'](?:arguments|parameters|args|params|input|action_input|tool_input|kwargs)[\"']\s*:")
_NAME = re.compile(r"[\w.:/-]{1,160}")
_AFTER_NAME = re.compile(
    r"[`*\"']{0,4}\s{0,64}(?:(\()|(\{)|(?:\*\*)?(?:arguments|args|parameters|params|input)\b[*\s]*[:=])"
)
_AFTER_NAME_BEGUN = re.compile(r"[`*\"']{0,4}\s{0,64}(?:\*\*)?[a-z]{0,10}[*\s]{0,16}\Z")


class OtherFormats:
    """Knows the names of the tools that are offered."""

    __slots__ = ("_called", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(map(fold, names))
        self._called = self._names | {f"{module}.{name}" for module in _MODULES for name in self._names}

    def opener(self, folded: str, at: int, *, line_start: bool) -> Opened | Verdict:
        """The opener that begins at ``at``, if one does."""
        char = folded[at]
        if char == "<":
            return self._tag(folded, at, line_start=line_start)
        if char == "[" and any(opener.startswith(folded[at : at + len(opener)]) for opener in _BRACKETED):
            whole = folded.find("]", at, at + 20)
            return Verdict.MORE if whole < 0 else Opened(whole + 1)
        if not line_start:
            return Verdict.NO
        if char == "{":
            return Opened(at, bare=True)
        if char == "[":
            opened = _LIST_OF_OBJECTS.match(folded, at)
            if opened is not None:
                return Opened(opened.end() - 1, bare=True)
            return Verdict.MORE if _LIST_BEGUN.match(folded, at) else Verdict.NO
        action = _ACTION.match(folded, at)
        if _ACTION_BEGUN.match(folded, at):
            return Verdict.MORE
        return Opened(action.end()) if action is not None else Verdict.NO

    def names_a_tool(self, folded: str, opened: Opened, *, at_end: bool) -> Verdict:
        """Whether an opener is followed by the name of a tool, in the place for it."""
        start, window = opened.end, folded[opened.end : opened.end + NAME_LIMIT]
        for token in _TOKEN.finditer(_IDENTIFIER.sub(_blank, window)):
            if token[0] == "{":
                return self._object(folded, start + token.start(), at_end=at_end, bare=opened.bare)
            if start + token.end() == len(folded) and not at_end:
                return Verdict.MORE
            if self.is_tool(token[0]):
                return Verdict.YES
            if not all(_STRUCTURE.fullmatch(piece) for piece in _PIECES.split(token[0].rstrip("._:/-"))):
                return Verdict.NO
        return Verdict.NO if at_end or len(window) == NAME_LIMIT else Verdict.MORE

    def named_call(self, folded: str, at: int, *, at_end: bool) -> Verdict:
        """Whether a call begins at ``at`` with the name of a tool, as code or with its arguments after it."""
        name = _NAME.match(folded, at + folded.startswith("[", at))
        if name is None:
            more = folded[at:] == "["
            return Verdict.MORE if more and not at_end else Verdict.NO
        if name.end() == len(folded) and not at_end:
            return Verdict.MORE if self._may_become_a_tool(name[0]) else Verdict.NO
        if name[0].rstrip(":") not in self._called:
            return Verdict.NO
        if (after := _AFTER_NAME.match(folded, name.end())) is not None:
            return Verdict.WHOLE if after[1] else Verdict.YES
        return Verdict.MORE if not at_end and _AFTER_NAME_BEGUN.match(folded, name.end()) else Verdict.NO

    def is_tool(self, token: str) -> bool:
        """``token`` is the name of a tool, also as a part of a dotted name."""
        name = token.rstrip(".:/-")
        ends = [0, *(dot.end() for dot in _DOTS.finditer(name))]
        return any(name[at:] in self._names or _DOTS.split(name[at:], 1)[0] in self._names for at in ends)

    def _may_become_a_tool(self, token: str) -> bool:
        return any(name.startswith(token.rstrip(":")) for name in self._called)

    def _tag(self, folded: str, at: int, *, line_start: bool) -> Opened | Verdict:
        if _TAG_BEGUN.match(folded, at):
            return Verdict.MORE
        tag = _TAG.match(folded, at)
        if tag is None:
            return Verdict.NO
        if line_start and tag[1].rstrip(":") in self._names:
            return Opened(tag.start(1))
        return Opened(tag.end()) if _TAG_OF_A_CALL.search(tag[1]) else Verdict.NO

    def _object(self, folded: str, at: int, *, at_end: bool, bare: bool) -> Verdict:
        window = folded[at : at + OBJECT_LIMIT]
        first = _FIRST_KEY.match(window)
        if first is None:
            return Verdict.MORE if not at_end and _FIRST_KEY_BEGUN.match(window) else Verdict.NO
        if not _CALL_KEY.fullmatch(first[1]) and first[1] not in self._names:
            return Verdict.NO
        names = _NAMED.findall(window)
        if names and first[1] in _NAME_FIRST and not self.is_tool(names[0]):
            return Verdict.NO
        if any(map(self.is_tool, names)) and (not bare or _ARGUMENTS.search(window)):
            return Verdict.YES
        return Verdict.NO if at_end or len(window) == OBJECT_LIMIT else Verdict.MORE


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])
