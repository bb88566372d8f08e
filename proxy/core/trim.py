"""Making a conversation fit: the largest tool results are cut in the middle first, then the oldest turns go."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.core.call import AssistantText, Entry, ToolResult

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
    sizes = [_size(entry) for entry in history]
    total = sum(sizes)
    if total <= room:
        return Trimmed(history)
    results = [
        (at, len(entry.text))
        for at, entry in enumerate(history)
        if isinstance(entry, ToolResult) and len(entry.text) > CUT_LENGTHS[-1]
    ]
    for length in CUT_LENGTHS:  # reckoned first, cut once
        shorter = {at: _left(size, length) - size for at, size in results if size > length}
        if total + sum(shorter.values()) <= room:
            break
    if shorter:
        history = tuple(_cut(entry, length) if at in shorter else entry for at, entry in enumerate(history))
    for at, change in shorter.items():
        sizes[at] += change
    if sum(sizes) <= room:
        return Trimmed(history)
    first = _first_kept(history, sizes, room)
    return Trimmed(history[first:], dropped=first)


def size(history: Sequence[Entry]) -> int:
    """About how many characters a history takes in a prompt."""
    return sum(_size(entry) for entry in history)


def _size(entry: Entry) -> int:
    if isinstance(entry, AssistantText) and entry.calls:
        calls = sum(len(call.name) + len(call.arguments) + ENTRY_OVERHEAD for call in entry.calls)
        return len(entry.text) + calls + ENTRY_OVERHEAD
    return len(entry.text) + ENTRY_OVERHEAD


def _cut(entry: Entry, length: int) -> Entry:
    half = length // 2
    return replace(entry, text=f"{entry.text[:half]}{_note(len(entry.text) - 2 * half)}{entry.text[-half:]}")


def _left(size: int, length: int) -> int:
    """How long a text of ``size`` is when it was cut to ``length``."""
    kept = 2 * (length // 2)
    return kept + len(_note(size - kept))


def _note(left_out: int) -> str:
    return f"\n[... {left_out} characters left out ...]\n"


def _first_kept(history: Sequence[Entry], sizes: Sequence[int], room: int) -> int:
    """The first entry of the shortest drop, in whole steps, behind which the rest fits."""
    step = max(room // DROP_STEPS, 1)
    left, gone, kept, target = sum(sizes), 0, 0, step
    for at, (entry, size_) in enumerate(zip(history, sizes, strict=True)):
        if at and not isinstance(entry, ToolResult):
            kept = at
            if gone >= target:
                target = (gone // step + 1) * step
                if left - gone <= room:
                    return at
        gone += size_
    return kept
