"""All measures, in the order in which they are done."""

from collections.abc import Callable, Mapping

from tests.bench.bench import Bench
from tests.bench.figures import Outcome
from tests.bench.measures.blocks import blocks
from tests.bench.measures.burst import burst
from tests.bench.measures.first_token import first_token
from tests.bench.measures.growth import growth
from tests.bench.measures.large import large
from tests.bench.measures.memory import memory, soak
from tests.bench.measures.paced import paced
from tests.bench.measures.stall import stall
from tests.bench.measures.start import start

Measure = Callable[[Bench], Outcome]

ALL: Mapping[str, Measure] = {
    "paced": paced,
    "burst": burst,
    "first_token": first_token,
    "large": large,
    "blocks": blocks,
    "growth": growth,
    "stall": stall,
    "memory": memory,
    "start": start,
    "soak": soak,
}
ASKED_FOR = ("soak",)
"""Those that take too long to be done each time."""
