"""The tags between which models write what they think."""

import re

from proxy.core.tool_calls.other_formats import Verdict

LONGEST = 256
"""Characters of a tag, its attributes included."""

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "antml:thinking", "antthinking", "seed:think")
_OPENING = re.compile(rf"<(?:{'|'.join(_NAMES)})(?:\s[^<>]*)?>|\[think\]")
_TAG = re.compile(rf"<(/?)(?:{'|'.join(_NAMES)})(?:\s[^<>]*)?>|\[(/?)think\]")
_NAME_BEGUN = re.compile(r"[<\[]/?[a-z:]{0,15}\Z")
_ATTRIBUTES_BEGUN = re.compile(rf"</?(?:{'|'.join(_NAMES)})\s[^<>]*\Z")
_OPENERS = (*(f"<{name}" for name in _NAMES), "[think]", *(f"</{name}" for name in _NAMES), "[/think]")


def opening(folded: str, at: int) -> int | Verdict:
    """Where the opening tag ends that begins at ``at``; otherwise whether more text may make it one."""
    if (tag := _OPENING.match(folded, at)) is not None:
        return tag.end() if tag.end() - at <= LONGEST and not tag[0].endswith("/>") else Verdict.NO
    return Verdict.MORE if _begun(folded, at) and not folded.startswith("/", at + 1) else Verdict.NO


class Depth:
    """Follows nested tags: one level is open when it is made."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = 1

    def read(self, folded: str) -> tuple[int, int, bool]:
        """Reads on. Returns how much of the text is reasoning, where the rest begins, and whether the last level was
        closed. What lies in between is a tag; what lies behind has to wait for more, unless it was closed."""
        at = 0
        while (tag := _TAG.search(folded, at)) is not None:
            at = tag.end()
            if at - tag.start() <= LONGEST and not tag[0].endswith("/>"):
                self._open += -1 if tag[1] or tag[2] else 1
                if not self._open:
                    return tag.start(), tag.end(), True
        return self._hold_from(folded, at), self._hold_from(folded, at), False

    def _hold_from(self, folded: str, at: int) -> int:
        for place in range(max(at, len(folded) - LONGEST), len(folded)):
            if folded[place] in "<[" and _begun(folded, place):
                return place
        return len(folded)


def _begun(folded: str, at: int) -> bool:
    """The text ends inside what may be a tag that begins at ``at``."""
    if len(folded) - at > LONGEST:
        return False
    if _NAME_BEGUN.match(folded, at):
        return any(opener.startswith(folded[at:]) for opener in _OPENERS)
    return _ATTRIBUTES_BEGUN.match(folded, at) is not None
