"""One helper for every parser: the same result however the input was cut."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TypeVar

Cuttable = TypeVar("Cuttable", str, bytes)
Result = TypeVar("Result")

TWO_CUTS_UP_TO = 300
RANDOM_CUTS = 20


def cuts(data: Cuttable, *, pairs: bool) -> Iterator[list[Cuttable]]:
    """Unit by unit, every single cut, every pair of cuts for short inputs if wanted, and some random ones."""
    size = len(data)
    yield [data[at : at + 1] for at in range(size)]
    for at in range(1, size):
        yield [data[:at], data[at:]]
    if pairs and size <= TWO_CUTS_UP_TO:
        for first, second in combinations(range(1, size), 2):
            yield [data[:first], data[first:second], data[second:]]
    dice = random.Random(size)
    for _ in range(RANDOM_CUTS):
        places = sorted(dice.sample(range(1, size), min(size - 1, dice.randint(2, 12)))) if size > 3 else []
        yield [data[a:b] for a, b in zip([0, *places], [*places, size], strict=True)]


def same_however_cut(data: Cuttable, read: Callable[[Sequence[Cuttable]], Result], *, pairs: bool = True) -> Result:
    """What ``read`` makes of the whole, after asserting that it makes the same of every cut."""
    whole = read([data])
    for pieces in cuts(data, pairs=pairs):
        assert whole == read(pieces), f"cut as {pieces!r}"
    return whole
