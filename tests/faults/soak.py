"""``python -m tests.faults.soak [--streams N]``: thousands of streams mixed with faults and with callers that leave,
through a real proxy, which must then be as it was after the first tenth of them. It stops by itself, with 1 if anything
is not as it should be."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx
import orjson
import psutil
import uvloop

from tests.faults.caller import Told
from tests.faults.front import start
from tests.faults.ground import Ground
from tests.faults.leaver import Leaver
from tests.faults.plan import Planned, number_of, plan
from tests.faults.upstream import Exchange, Steps, Upstream
from tests.faults.wire import JSON, head
from tests.support.chat import PATH, body
from tests.support.processes import Process, Proxy

STREAMS = 20_000
SETTLING = 10  # one in so many streams is there for the memory to settle
AT_ONCE = 24
GROWTH_MB = 5
SILENCE_S = 2
TIMEOUT_S = 20  # for one request
QUIET_S = 10
MORE = f"proxy: {{timeouts: {{first_token: {SILENCE_S}, idle: {SILENCE_S}}}}}\n"
MB = 2**20
STATS = "stats"


@dataclass(frozen=True, slots=True)
class Figures:
    """What the proxy holds while nothing is under way. ``descriptors`` are those beside the ``kept`` connections."""

    rss: int
    descriptors: int
    tasks: int
    in_flight: float
    kept: int

    def __str__(self) -> str:
        return (
            f"resident {self.rss / MB:6.1f} MB, descriptors {self.descriptors} and {self.kept} connections kept, "
            f"tasks {self.tasks}, in flight {self.in_flight:g}"
        )


@dataclass(slots=True)
class Record:
    """What became of a soak."""

    streams: int
    seconds: float = 0.0
    figures: list[Figures] = field(default_factory=list)
    """At the start, after the first part, at the end."""
    kinds: Counter[str] = field(default_factory=Counter)
    due: int = 0
    posts: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        return (self.figures[2].rss - self.figures[1].rss) / MB

    def judge(self) -> None:
        """Complains about whatever is not as it was."""
        begin, _, end = self.figures
        for name in ("descriptors", "tasks", "in_flight"):
            if getattr(end, name) > getattr(begin, name):
                self.complaints.append(f"{name}: {getattr(begin, name)} at the start, {getattr(end, name)} at the end")
        if self.growth_mb >= GROWTH_MB:
            self.complaints.append(f"memory grew by {self.growth_mb:.1f} MB")
        if self.posts > self.due:
            self.complaints.append(f"{self.posts} requests upstream, {self.due} due")

    def __str__(self) -> str:
        names = ("at the start", "after the first part", "at the end")
        return "\n".join(
            [
                f"{self.streams} streams in {self.seconds:.0f} s ({self.streams / self.seconds:.0f}/s), "
                f"{self.posts} requests upstream of at most {self.due}",
                *(f"{name:<21} {figures}" for name, figures in zip(names, self.figures, strict=True)),
                f"growth since the first part: {self.growth_mb:.1f} MB",
                *(f"{count:6} {kind}" for kind, count in self.kinds.most_common()),
                *(f"NOT AS IT SHOULD BE: {complaint}" for complaint in self.complaints[:20]),
            ]
        )


class Far:
    """The upstream, in a process of its own."""

    def __init__(self, process: Process) -> None:
        self.url = process.wait_for(r"listens on (http://\S+)")[1]
        self._client = httpx.Client(base_url=self.url)

    @property
    def open(self) -> int:
        return self._stats()["open"] - 1  # the one that asks

    @property
    def posts(self) -> int:
        return self._stats()["posts"]

    def posts_of(self, correlation_id: str) -> int:
        raise NotImplementedError

    def wait_over(self, correlation_id: str, seconds: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._client.close()

    def _stats(self) -> dict[str, int]:
        found: dict[str, int] = self._client.post("/", headers={"correlation-id": STATS}).json()
        return found


class Soak:
    def __init__(self, proxy: Proxy, upstream: Far, record: Record, settling: int) -> None:
        self._settling = settling
        self._proxy = proxy
        self._upstream = upstream
        self._record = record
        self._ground = Ground(proxy, upstream)
        self._process = psutil.Process(proxy.process.pid)

    def run(self) -> None:
        record, first = self._record, max(1, self._record.streams // self._settling)
        record.figures.append(self._figures())
        started = time.monotonic()
        for numbers in (range(first), range(first, record.streams)):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._part(iter(numbers)))
            self._wait_quiet()
            record.figures.append(self._figures())
        record.seconds = time.monotonic() - started
        record.posts = self._upstream.posts
        record.complaints += [line for line in self._proxy.lines if "Traceback" in line or '"library.message"' in line]
        record.judge()

    def _figures(self) -> Figures:
        return Figures(
            self._process.memory_info().rss,
            self._ground.descriptors(),
            self._ground.tasks(),
            self._proxy.metric("proxy_streams_in_flight"),
            self._upstream.open,
        )

    def _wait_quiet(self) -> None:
        """Until what is still ending has ended; what has not by then shows in the figures."""
        deadline = time.monotonic() + QUIET_S
        while time.monotonic() < deadline:
            now, begin = self._figures(), self._record.figures[0]
            if not now.in_flight and now.tasks <= begin.tasks and now.descriptors <= begin.descriptors:
                return
            time.sleep(0.2)

    async def _part(self, numbers: Iterator[int]) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(AT_ONCE):
                group.create_task(self._caller(session, numbers))

    async def _caller(self, session: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        for number in numbers:
            planned = plan(number)
            self._record.kinds[planned.name] += 1
            self._record.due += planned.posts
            try:
                complaint = await (self._leave(planned) if planned.how else self._ask(session, planned))
            except Exception as error:  # whatever it is belongs into the record
                complaint = repr(error)
            if complaint:
                self._record.complaints.append(f"{number}, {planned.name}, {planned.way.name}: {complaint}")

    async def _ask(self, session: aiohttp.ClientSession, planned: Planned) -> str | None:
        way, fault = planned.way, planned.fault
        sent = orjson.dumps(body(model=way.model, stream=way.streamed))
        headers = {"correlation-id": planned.correlation_id, "content-type": "application/json"}
        async with session.post(self._proxy.url + PATH, data=sent, headers=headers) as reply:
            told = Told(reply.status, {k.lower(): v for k, v in reply.headers.items()}, await reply.read())
        code = fault.code_in(way.wire) if fault else None
        text = fault.text if fault else planned.text
        if code is None:
            fits = told.complete and told.text == text
        else:
            streamed = way.streamed and bool(text)
            fits = told.code == code and not told.done and (told.status == 200) is streamed
            fits = fits and (not streamed or told.text == text)
        return None if fits else f"{told.status}, {told.body[-300:]!r}"

    async def _leave(self, planned: Planned) -> None:
        """Reads a little of a stream, waits a little for anything else, and goes."""
        way = planned.way

        def leave() -> None:
            with Leaver(self._proxy.url, planned.correlation_id, model=way.model, stream=way.streamed) as caller:
                if way.streamed and planned.number % 2:
                    caller.read_until(b'"ab')
                else:
                    time.sleep(planned.number % 50 / 1000)
                assert planned.how is not None
                caller.leave(planned.how)

        await asyncio.to_thread(leave)


def soak(streams: int, folder: Path, settling: int = SETTLING) -> Record:
    record = Record(streams)
    with ExitStack() as stack:
        process = Process([sys.executable, "-m", "tests.faults.soak", "--upstream"], {}, folder)
        stack.callback(process.stop)
        upstream = Far(process)
        stack.callback(upstream.close)
        proxy = start(upstream.url, folder, MORE, LOG_LEVEL="INFO")
        stack.callback(proxy.stop)
        Soak(proxy, upstream, record, settling).run()
    return record


async def serve() -> None:
    """The upstream: each request is answered as its number says."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asked = 0

    def answer(exchange: Exchange) -> Steps:
        nonlocal asked
        if exchange.correlation_id != STATS:
            return plan(number_of(exchange.correlation_id)).steps()
        asked += 1
        told = orjson.dumps({"open": upstream.open, "posts": upstream.posts - asked})
        return [head(JSON, "200 OK", f"content-length: {len(told)}") + told]

    upstream = Upstream(answer)
    await upstream.serve(lambda: print(f"listens on {upstream.url}", flush=True), stop)


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--upstream", action="store_true", help="serve as the upstream of a soak")
    options = parser.parse_args()
    if options.upstream:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())
        return 0
    with tempfile.TemporaryDirectory() as folder:
        record = soak(options.streams, Path(folder))
    print(record)
    return 1 if record.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
