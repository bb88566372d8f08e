"""The load, as a process of its own: reads a job from standard input, does it, writes what it measured."""

import asyncio
import contextlib
import random
import sys
import time
from collections.abc import AsyncIterator

import msgspec
import uvloop

from tests.bench import stamp
from tests.bench.client import Connection, Tally
from tests.bench.jobs import GRACE_S, Burst, Check, Held, Job, Paced, Run, Singles
from tests.bench.meter import Meter, memory_of
from tests.bench.reading import texts
from tests.bench.wire import STAMP, Target, words

COMPLAINTS = 3
OPEN_PER_S = 400  # requests; all at once they would be a burst of their own
LOOK_EVERY_S = 0.1


async def do(job: Job, tally: Tally) -> Run:
    match job:
        case Check():
            return await check(job, tally)
        case Paced():
            return await paced(job, tally)
        case Burst():
            return await burst(job, tally)
        case Singles():
            return await singles(job, tally)
        case Held():
            return await held(job, tally)


async def paced(job: Paced, tally: Tally) -> Run:
    connections, asked = [], []
    for number in range(job.streams):
        connection = await Connection.open(job.target, tally)
        connections.append(connection)
        asked.append(connection.ask())
        if number % 8 == 7:
            await asyncio.sleep(8 / OPEN_PER_S)
    for connection in connections:
        await connection.speaking.wait()
    async with _aside(job):
        meter = Meter(tally, job.target.pid, job.beside)
        until = time.monotonic() + job.seconds
        stalled = False
        while not stalled and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, LOOK_EVERY_S) if job.stall_s else left)
            stalled = bool(job.stall_s) and (
                max(tally.gaps, default=0) > job.stall_s or any(each.silent_s > job.stall_s for each in connections)
            )
        run = meter.run()
    if stalled:
        for connection in connections:
            connection.abort()
        run.problems.append("a stream stalled")
        return run
    if early := len(tally.answers):
        run.problems.append(f"{early} streams ended before the time was over")
    await asyncio.gather(*asked)
    return run


@contextlib.asynccontextmanager
async def _aside(job: Paced) -> AsyncIterator[None]:
    """Other requests, at a steady rate and on connections of their own."""
    if job.aside is None:
        yield
        return
    target, tally = job.aside, Tally()

    async def call(after: float) -> None:
        connection = await Connection.open(target, tally)
        await asyncio.sleep(after)
        while True:
            began = time.monotonic()
            answer = await connection.ask()
            if answer.problem:
                raise RuntimeError(f"a request beside the streams failed: {answer.problem}")
            await asyncio.sleep(max(0.0, began + 1 - time.monotonic()))

    callers = round(job.per_second)  # one a second each
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call(number / callers)) for number in range(callers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def burst(job: Burst, tally: Tally) -> Run:
    until = time.monotonic() + job.warm_up + job.seconds

    async def call() -> None:
        connection = await Connection.open(job.target, tally)
        while time.monotonic() < until and not (await connection.ask()).problem:
            pass

    calls = [asyncio.create_task(call()) for _ in range(job.callers)]
    await asyncio.sleep(job.warm_up)
    meter = Meter(tally, job.target.pid, job.beside)
    await asyncio.sleep(job.seconds)
    run = meter.run()
    await asyncio.gather(*calls)
    return run


async def singles(job: Singles, tally: Tally) -> Run:
    times: dict[str, list[float]] = {target.name: [] for target in job.targets}
    stamped = job.targets[0].agent.startswith(STAMP)
    if stamped:
        lines = {target.name: stamp.Line(target) for target in job.targets}
    else:
        connections = {target.name: await Connection.open(target, tally) for target in job.targets}
    order = list(times) * job.times
    random.shuffle(order)
    for name in order:
        times[name].append(lines[name].ask() if stamped else (await connections[name].ask()).first_token)
    return Run(times=times)


async def held(job: Held, tally: Tally) -> Run:
    until = time.monotonic() + job.seconds

    async def call(number: int) -> None:
        await asyncio.sleep(number / OPEN_PER_S)
        connection = await Connection.open(job.target, tally)
        while time.monotonic() < until and not (await connection.ask()).problem:
            pass

    calls = [asyncio.create_task(call(number)) for number in range(job.streams)]
    memories = []
    while time.monotonic() < until:
        await asyncio.sleep(job.every)
        memories.append(memory_of(job.target.pid))
    await asyncio.gather(*calls)
    return Run(memories=memories)


async def check(job: Check, tally: Tally) -> Run:
    """Every word in its place: what the other runs take for granted when they count."""
    connection = await Connection.open(job.target, tally)
    connection.kept = []
    if (await connection.ask()).problem:
        return Run()
    text = "".join(texts(b"".join(connection.kept), job.target.dialect.pointer))
    wrong = [] if text == words(job.target.tokens) else [f"the text came out as {text[:300]!r}"]
    return Run(problems=wrong)


async def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    tally = Tally()
    async with asyncio.timeout(_seconds(job) + GRACE_S):
        run = await do(job, tally)
    target: Target = job.targets[0] if isinstance(job, Singles) else job.target
    run.target = target.name
    run.streams = len(tally.answers)
    run.lost = sum(abs(target.tokens - answer.tokens) for answer in tally.answers)
    run.problems = (run.problems + [answer.problem for answer in tally.answers if answer.problem])[:COMPLAINTS]
    sys.stdout.buffer.write(msgspec.json.encode(run))


def _seconds(job: Job) -> float:
    return job.seconds + (job.streams / OPEN_PER_S * 2 if isinstance(job, Paced | Held) else 0)


if __name__ == "__main__":
    uvloop.run(main())
