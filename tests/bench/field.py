"""Everything that is measured, up and running: an upstream and the contestants in front of it."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contestants.contestant import Contestant, Launch, Place
from tests.bench.machine import Cores
from tests.bench.processes import LOG, BenchError, Server, free_port, last_words, serving
from tests.bench.wire import Target

DIRECT = "the upstream itself"


def _bench_upstream(place: Place) -> Launch:
    return Launch([sys.executable, "-m", "tests.bench.upstream", str(place.port)])


UPSTREAM = Contestant("upstream", _bench_upstream)


@dataclass(frozen=True, slots=True)
class Field:
    cores: Cores
    upstream: Server
    contestants: Sequence[Contestant]
    servers: dict[str, Server]

    @property
    def names(self) -> list[str]:
        return [contestant.name for contestant in self.contestants]

    @property
    def helpers(self) -> tuple[int, ...]:
        """The processes whose CPU is no disturbance."""
        return (self.upstream.pid,)

    def contestant(self, name: str) -> Contestant:
        return next(contestant for contestant in self.contestants if contestant.name == name)

    def target(self, name: str, agent: str, kilobytes: int = 0) -> Target:
        """An agent as it is reached directly, or through a contestant."""
        if name == DIRECT:
            return Target(name, self.upstream.pid, self.upstream.port, agent, kilobytes=kilobytes)
        server, contestant = self.servers[name], self.contestant(name)
        return Target(
            name,
            server.pid,
            server.port,
            agent,
            openai=contestant.openai,
            prefix=contestant.prefix,
            headers=contestant.headers(self.upstream.url),
            kilobytes=kilobytes,
        )


@contextlib.contextmanager
def field(contestants: Sequence[Contestant], agents: Sequence[str], upstream: Contestant = UPSTREAM) -> Iterator[Field]:
    """Starts everything, with a model for each of ``agents``, and ends it behind the context."""
    cores = Cores.available()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

        def start(contestant: Contestant, number: int, address: str, core: int | None) -> Server:
            place = Place(root / str(number), free_port(), address, agents)
            (place.folder / "temp").mkdir(parents=True)
            launch = contestant.launch(place)
            return stack.enter_context(
                serving(
                    contestant.name,
                    launch.command,
                    place.port,
                    core=core,
                    folder=place.folder,
                    env=launch.env,
                    health=contestant.health,
                )
            )

        far = start(upstream, 0, "", cores.upstream)
        servers: dict[str, Server] = {}
        try:
            for number, contestant in enumerate(contestants, start=1):
                shared = servers.get(contestant.inside or "")
                servers[contestant.name] = shared or start(contestant, number, far.url, cores.server)
            yield Field(cores, far, contestants, servers)
        except BenchError as error:
            logs = [
                f"{log.parent.name}: {words}" for log in sorted(root.glob(f"*/{LOG}")) if (words := last_words(log))
            ]
            raise BenchError("\n".join([str(error), "What the servers logged last:", *logs])) from None
