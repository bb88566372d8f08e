"""Which of the offered tools a written name means."""

from collections.abc import Iterable
from typing import NamedTuple

from proxy.core.tool_calls.markers import INVISIBLE, fold

_PREFIXES = ("functions.", "function.")


class Name(NamedTuple):
    name: str
    known: bool


class ToolNames:
    """The names of the tools offered in a request."""

    __slots__ = ("_folded", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._folded: dict[str, list[str]] = {}
        for name in sorted(self._names):
            self._folded.setdefault(fold(name), []).append(name)

    def meant(self, written: str) -> Name:
        """The only tool that a name can mean: itself, or one that differs in case, dress or a ``functions.`` before
        it. Otherwise the name as it was written: agents recover from an unknown one."""
        plain = written.replace("\\", "").rstrip(".:/-")
        if plain in self._names:
            return Name(plain, known=True)
        folded = fold(plain).replace(INVISIBLE, "")
        for form in (folded, folded.strip("_"), *(folded.removeprefix(prefix) for prefix in _PREFIXES)):
            fitting = self._folded.get(form, ())
            if len(fitting) == 1:
                return Name(fitting[0], known=True)
        return Name(plain, known=False)

    def begins_one(self, written: str) -> bool:
        """``written`` may be the beginning of the name of a tool."""
        begun = fold(written.replace("\\", "")).replace(INVISIBLE, "")
        return any(name.startswith(begun) or f"functions.{name}".startswith(begun) for name in self._folded)
