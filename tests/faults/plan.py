"""What the streams of a soak are, by their numbers, so that callers and upstream agree without a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from tests.faults.faults import FAULTS, SILENCE, TICK_S, Fault, forever
from tests.faults.leaver import HOWS, How
from tests.faults.upstream import Steps
from tests.faults.wire import LAST, WAYS, Way, chunk

LEFT_OUT = (
    "a gzip bomb", "a line without end", "data: lines without a blank line", "headers without end",  # megabytes each
    "it goes on after its length",  # into the next answer, if the next request is quick enough
)  # fmt: skip
ORDINARY: Sequence[str] = [name for name in FAULTS if name not in SILENCE and not name.startswith(LEFT_OUT)]
SILENT: Sequence[str] = list(SILENCE)
OF_TEN = "wwwwwfffll"
"""Of ten streams so many are whole, have a fault, or are left."""
SILENT_OF = 20  # faults
WORDS = 20


@dataclass(frozen=True, slots=True)
class Planned:
    """One stream: whole, unless it has a ``fault`` or is left, ``how``, by its caller."""

    number: int
    way: Way
    name: str = "whole"
    fault: Fault | None = None
    how: How | None = None

    @property
    def correlation_id(self) -> str:
        return f"soak-{self.number}"

    @property
    def text(self) -> str:
        return "abcd" + "word " * WORDS + "ef"

    @property
    def posts(self) -> int:
        return self.fault.posts if self.fault else 1

    def steps(self) -> Steps:
        wire = self.way.wire
        if self.fault is not None:
            return self.fault.steps(wire) or ()
        begun = wire.head + chunk(wire.part)
        if self.how is not None:
            return chain([begun], forever(TICK_S, chunk(wire.delta("more "))))
        return [begun, *[chunk(wire.delta("word "))] * WORDS, chunk(wire.rest) + LAST]


def plan(number: int) -> Planned:
    tens, units = divmod(number, 10)
    way, turn = WAYS[tens % len(WAYS)], tens // len(WAYS)
    if OF_TEN[units] == "l":
        how = HOWS[turn % len(HOWS)]
        return Planned(number, way, f"the caller {how}", how=how)
    if OF_TEN[units] == "f":
        count = turn * OF_TEN.count("f") + units - OF_TEN.index("f")
        names = SILENT if count % SILENT_OF == 0 else ORDINARY
        name = names[count // SILENT_OF % len(names) if names is SILENT else count % len(names)]
        if FAULTS[name].steps(way.wire) is not None:
            return Planned(number, way, name, FAULTS[name])
    return Planned(number, way)


def number_of(correlation_id: str) -> int:
    return int(correlation_id.removeprefix("soak-"))
