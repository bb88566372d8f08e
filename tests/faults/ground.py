"""What must be as it was when a request is over, whatever became of it: the one list of invariants."""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol

import psutil

from tests.faults.caller import Told
from tests.faults.telling import TASKS
from tests.support.processes import Proxy

CLOSED_WITHIN_S = 1.0
SETTLED_WITHIN_S = 3.0
SETTLE_S = 0.3
UNEXCITED = ("debug", "info")
_END = re.compile(r'^proxy_stream_ends_total\{model="[^"]*",reason="([^"]*)"\} (\S+)$', re.MULTILINE)
_IN_FLIGHT = re.compile(r"^proxy_streams_in_flight (\S+)$", re.MULTILINE)


class Observed(Protocol):
    """The upstream's side."""

    @property
    def open(self) -> int:
        """Connections of the proxy's that are open now; those kept for the next request are no leak."""

    def posts_of(self, correlation_id: str) -> int: ...

    def wait_over(self, correlation_id: str, seconds: float) -> Any:
        """Returns when nothing is generated under this correlation id any more."""


class Ground:
    """The state of an idle proxy, to which every request must take it back."""

    def __init__(self, proxy: Proxy, *upstreams: Observed) -> None:
        self._proxy = proxy
        self._upstreams = upstreams
        self._process = psutil.Process(proxy.process.pid)
        self._metrics()  # from here on its connection is there
        time.sleep(SETTLE_S)
        self._tasks = self.tasks()
        self._descriptors = self.descriptors()

    def tasks(self) -> int:
        """How many tasks there are in the proxy now."""
        before = len(self._proxy.lines)
        os.kill(self._proxy.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not (found := [line for line in self._proxy.lines[before:] if TASKS in line]):
            assert time.monotonic() < deadline, "the proxy does not answer"
            time.sleep(0.002)
        count: int = json.loads(found[0])["tasks"]
        return count

    def descriptors(self) -> int:
        """Those beside the connections that upstreams keep open."""
        return int(self._process.num_fds()) - sum(upstream.open for upstream in self._upstreams)

    @contextmanager
    def kept(
        self,
        correlation_id: str,
        *,
        reason: str,
        posts: int,
        warnings: Sequence[str] = (),
        others: Mapping[str, int] = MappingProxyType({}),
    ) -> Iterator[None]:
        """What is done in this context is one request, which ends for ``reason`` after ``posts`` requests to the
        upstreams, besides so many ``others`` for theirs. Events in ``warnings`` may be logged above the level of
        everyday."""
        ends = _ends(self._metrics())
        line = len(self._proxy.lines)
        yield
        for upstream in self._upstreams:
            upstream.wait_over(correlation_id, CLOSED_WITHIN_S)
        finished = self._proxy.wait_event(event="request.finished", correlation_id=correlation_id)
        assert posts == sum(upstream.posts_of(correlation_id) for upstream in self._upstreams)
        assert reason == finished["end_reason"]
        metrics = self._metrics()
        assert ends + Counter({reason: 1}) + Counter(others) == _ends(metrics), "they tell the same as the log"
        assert "0.0" == _IN_FLIGHT.findall(metrics)[0]
        self._eventually(lambda: self.tasks() <= self._tasks, "tasks")
        self._eventually(lambda: self.descriptors() <= self._descriptors, "descriptors")
        self._calm(line, warnings)

    def _eventually(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while not holds():
            if time.monotonic() > deadline:
                names = [event.get("names") for event in self._proxy.events(event=TASKS)][-1]
                connections = [f"{c.laddr} {c.raddr} {c.status}" for c in self._process.net_connections()]
                raise AssertionError(f"more {what} than before: {names} {connections}")
            time.sleep(0.02)

    def _calm(self, line: int, warnings: tuple[str, ...]) -> None:
        lines = self._proxy.lines[line:]
        assert not any("Traceback" in text or '"exception"' in text for text in lines), "\n".join(lines)
        events = [json.loads(text) for text in lines]
        loud = [event for event in events if event["level"] not in UNEXCITED and event["event"] not in warnings]
        assert [] == loud

    def _metrics(self) -> str:
        return self._proxy.client.get("/metrics").text


def _ends(metrics: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for reason, count in _END.findall(metrics):
        found[reason] += int(float(count))
    return found


def never_faked(told: Told) -> None:
    """An answer that was broken off is an error, and nothing in it says that it is whole."""
    assert told.error is not None
    assert (None, False) == (told.finish, told.done)
