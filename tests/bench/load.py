"""The load, as a process of its own: reads a job from standard input, does it, writes what it measured."""

import asyncio
import random
import sys
import time

import msgspec
import orjson
import uvloop

from tests.bench.client import Connection, Tally
from tests.bench.jobs import GRACE_S, Burst, Check, Job, Paced, Run, Singles
from tests.bench.meter import Meter
from tests.bench.wire import words

COMPLAINTS = 3


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


async def paced(job: Paced, tally: Tally) -> Run:
    connections = [await Connection.open(job.target, tally) for _ in range(job.streams)]
    asked = [connection.ask() for connection in connections]
    await asyncio.gather(*(connection.speaking.wait() for connection in connections))
    meter = Meter(tally, job.target.pid, job.beside)
    await asyncio.sleep(job.seconds)
    run = meter.run()
    if early := len(tally.answers):
        run.problems.append(f"{early} streams ended before the time was over")
    await asyncio.gather(*asked)
    return run


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
    connections = {target.name: await Connection.open(target, tally) for target in job.targets}
    first_tokens: dict[str, list[float]] = {name: [] for name in connections}
    order = list(connections) * job.times
    random.shuffle(order)
    for name in order:
        first_tokens[name].append((await connections[name].ask()).first_token)
    return Run(first_tokens=first_tokens)


async def check(job: Check, tally: Tally) -> Run:
    """Every word in its place: what the other runs take for granted when they count."""
    connection = await Connection.open(job.target, tally)
    connection.kept = []
    if (await connection.ask()).problem:
        return Run()
    text = "".join(_texts(b"".join(connection.kept), job.target.dialect.pointer))
    wrong = [] if text == words(job.target.tokens) else [f"the text came out as {text[:300]!r}"]
    return Run(problems=wrong)


def _texts(response: bytes, pointer: tuple[str | int, ...]) -> list[str]:
    """The texts of all frames of a chunked response."""
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size or b"0", 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    texts = []
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            value = orjson.loads(line[6:])
            for key in pointer:
                value = value[key] if isinstance(key, int) else value.get(key, "")
            texts.append(value)
    return texts


async def main() -> None:
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    tally = Tally()
    async with asyncio.timeout(job.seconds + GRACE_S):
        run = await do(job, tally)
    expected = (job.targets[0] if isinstance(job, Singles) else job.target).tokens
    run.streams = len(tally.answers)
    run.lost = sum(abs(expected - answer.tokens) for answer in tally.answers)
    run.problems = (run.problems + [answer.problem for answer in tally.answers if answer.problem])[:COMPLAINTS]
    sys.stdout.buffer.write(msgspec.json.encode(run))


if __name__ == "__main__":
    uvloop.run(main())
