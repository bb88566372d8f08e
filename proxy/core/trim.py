"""Making a conversation fit: the largest tool results are cut in the middle first, then the oldest turns go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.core.call import AssistantText, Entry, SystemText, ToolResult, UserText

CUT_LENGTHS = tuple(2**power for power in range(18, 10, -1))
"""A result is cut to one of these lengths: in large steps, so that it stays the same for several turns."""
DROP_STEPS = 4
"""The oldest turns go in steps of this part of the room, for the same reason."""
ENTRY_OVERHEAD = 64  # a label and blank lines


@dataclass(frozen=True, slots=True)
class Trimmed:
    """``dropped`` is how many of the oldest entries are left out."""

    history: tuple[Entry, ...]
    dropped: int = 0


def trim(history: tuple[Entry, ...], room: int) -> Trimmed:
    """``history`` made to fit ``room`` characters, as far as that can be without touching what people wrote: the
    last turn stays whole whatever its size. A call is never left without its result or the other way round."""
    if size(history) <= room:
        return Trimmed(history)
    for length in CUT_LENGTHS:
        cut = tuple(_cut(entry, length) for entry in history)
        if size(cut) <= room:
            return Trimmed(cut)
    first = _first_kept(cut, room)
    return Trimmed(cut[first:], dropped=first)


def size(history: Sequence[Entry]) -> int:
    """About how many characters a history takes in a prompt."""
    return sum(_size(entry) for entry in history)


def _size(entry: Entry) -> int:
    match entry:
        case AssistantText(text, calls):
            return (
                len(text)
                + sum(len(call.name) + len(call.arguments) + ENTRY_OVERHEAD for call in calls)
                + ENTRY_OVERHEAD
            )
        case UserText(text) | SystemText(text) | ToolResult(text=text):
            return len(text) + ENTRY_OVERHEAD


def _cut(entry: Entry, length: int) -> Entry:
    if not isinstance(entry, ToolResult) or len(entry.text) <= length:
        return entry
    half = length // 2
    left_out = len(entry.text) - 2 * half
    return replace(entry, text=f"{entry.text[:half]}\n[... {left_out} characters left out ...]\n{entry.text[-half:]}")


def _first_kept(history: Sequence[Entry], room: int) -> int:
    """The first entry of the shortest drop, in whole steps, behind which the rest fits."""
    step = max(room // DROP_STEPS, 1)
    starts = [at for at, entry in enumerate(history) if at and not isinstance(entry, ToolResult)]
    left, gone, at = size(history), 0, 0
    target = step
    for start in starts:
        gone += size(history[at:start])
        at = start
        if gone >= target:
            target = (gone // step + 1) * step
            if left - gone <= room:
                return start
    return at
