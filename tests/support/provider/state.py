"""What the provider has been told and has seen."""

from typing import Any

from proxy.simulator.state import Scripts
from tests.support.provider.log import Log


class State:
    """`reset` takes it back to the start; streams that are open go on, and are counted in the log they began in."""

    scripts: Any  # the simulator's, which looks at nothing of an answer but `repeat`
    log: Log

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.scripts = Scripts()
        self.log = Log()
