"""How large a regular expression of a JSON Schema is, once its repetitions are counted out."""

import re

WIDE, PROPERTY = 10, 300
"""States of a class that takes other characters than ASCII's, and of a Unicode property."""
LONGEST_COUNT = 6  # digits of a repetition's number; more of them are as many as any
_TOKEN = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|.", re.DOTALL)


def pattern_size(pattern: str) -> tuple[int, int]:
    """About how many states its automaton has at most, which compiling takes time and memory for, and how many
    positions, which matching takes time for."""
    groups = [(0, 0)]  # those that are open, from the outermost
    last = (0, 0)
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text == "(":
            groups.append((0, 0))
            continue
        if token[1] is not None:
            times = max(int(token[1][:LONGEST_COUNT]), int((token[2] or "0")[:LONGEST_COUNT]), 1)
            more, last = _times(last, times - 1), _times(last, times)
        elif text == ")" and len(groups) > 1:
            more = last = groups.pop()
        else:
            more = last = (_states(text), 1)
        groups[-1] = (groups[-1][0] + more[0], groups[-1][1] + more[1])
    return sum(states for states, _ in groups), sum(positions for _, positions in groups)


def _times(size: tuple[int, int], times: int) -> tuple[int, int]:
    return size[0] * times, size[1] * times


def _states(text: str) -> int:
    if "\\p" in text or "\\P" in text:
        return PROPERTY
    wide = text == "." or text[:2] in ("[^", "\\W", "\\S", "\\D") or not text.isascii()
    return WIDE if wide else 1
