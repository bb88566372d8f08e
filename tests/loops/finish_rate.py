"""``python -m tests.loops.finish_rate``: how many agent loops finish with the right calls.

The proxy and the simulator run in this process, over real sockets. Half of the model's single calls are at
fault, and a fifth of its repairs.
"""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from proxy import simulator
from proxy.config import Config, Model
from proxy.server.run import Listener, listening
from proxy.server.service import Service
from proxy.simulator import Answer
from tests.loops.faults import TOOLS, MadeCall, Step, some_step

LOOPS = 1000
AT_ONCE = 16
FAULT_RATE = 0.5
REPAIR_FAULT_RATE = 0.2


@dataclass
class Tally:
    finished: int = 0
    failed: int = 0
    wrong: int = 0
    steps: int = 0
    upstream_calls: int = 0

    @property
    def rate(self) -> float:
        return self.finished / (self.finished + self.failed + self.wrong)

    @property
    def calls_per_step(self) -> float:
        return self.upstream_calls / self.steps


async def measure(loops: int = LOOPS, seed: int = 1) -> Tally:
    dice = random.Random(seed)
    tally = Tally()
    plans = [
        [some_step(dice, fault_rate=FAULT_RATE, repair_fault_rate=REPAIR_FAULT_RATE) for _ in range(dice.randint(1, 4))]
        for _ in range(loops)
    ]
    gate = asyncio.Semaphore(AT_ONCE)
    async with _running() as (stand_in, session):

        async def one(number: int, plan: list[Step]) -> None:
            async with gate:
                await _loop(f"loop-{number}", plan, stand_in, session, tally)

        await asyncio.gather(*(one(number, plan) for number, plan in enumerate(plans)))
        tally.upstream_calls = stand_in.state.ledger.generations
    return tally


@asynccontextmanager
async def _running() -> AsyncIterator[tuple[simulator.Simulator, aiohttp.ClientSession]]:
    settings = simulator.Settings(interval_s=0)
    async with simulator.serve(settings=settings) as stand_in:
        config = Config(models=(Model("m", "stackspot", "agent"),), idm_url=stand_in.url, api_url=stand_in.url)
        async with (
            listening(Service(config), Listener("127.0.0.1", 0)) as (url,),
            aiohttp.ClientSession(url) as session,
        ):
            yield stand_in, session


async def _loop(
    key: str, plan: list[Step], stand_in: simulator.Simulator, session: aiohttp.ClientSession, tally: Tally
) -> None:
    """An agent that goes on until it is answered in words. ``wrong`` is a call that nobody meant."""
    messages: list[dict[str, object]] = [{"role": "user", "content": f"{key}: do it"}]
    for step in [*plan, None]:
        tally.steps += 1
        texts = [step.written, step.repaired] if step else ["All done."]
        stand_in.state.scripts.put(key, tuple(Answer(text=text) for text in texts))
        message = await _ask(session, key, messages, stream=tally.steps % 2 == 0)
        if message is None:
            tally.failed += 1
            return
        made = message.get("tool_calls") or []
        got = [MadeCall(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in made]
        if got != list(step.calls if step else ()):
            tally.wrong += 1
            return
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in made]
    tally.finished += 1


async def _ask(
    session: aiohttp.ClientSession, key: str, messages: list[dict[str, object]], *, stream: bool
) -> dict | None:  # type: ignore[type-arg]
    tools = [{"type": "function", "function": tool} for tool in TOOLS]
    body = {"model": "m", "messages": messages, "tools": tools, "stream": stream}
    async with session.post("/v1/chat/completions", headers={"correlation-id": key}, json=body) as reply:
        if reply.status != 200:
            return None
        if not stream:
            return (await reply.json())["choices"][0]["message"]  # type: ignore[no-any-return]
        return _merged(await reply.text())


def _merged(stream: str) -> dict | None:  # type: ignore[type-arg]
    """A streamed answer as one message; None for one that broke off."""
    datas = [line.removeprefix("data: ") for line in stream.split("\n") if line.startswith("data: ")]
    if datas[-1] != "[DONE]":
        return None
    deltas = [json.loads(data)["choices"][0]["delta"] for data in datas[:-1]]
    pieces = list(itertools.chain.from_iterable(delta.get("tool_calls", []) for delta in deltas))
    calls = [
        {
            "id": piece["id"],
            "type": "function",
            "function": {
                "name": piece["function"]["name"],
                "arguments": "".join(p["function"]["arguments"] for p in pieces if p["index"] == piece["index"]),
            },
        }
        for piece in pieces
        if "id" in piece
    ]
    return {
        "role": "assistant",
        "content": "".join(d.get("content") or "" for d in deltas),
        "tool_calls": calls or None,
    }


if __name__ == "__main__":
    found = asyncio.run(measure())
    print(
        f"{LOOPS} loops, {found.steps} steps: {found.rate:.1%} finished with the right calls, {found.wrong} with a wrong one,"
    )
    print(f"{found.failed} ended in an honest error; {found.calls_per_step:.2f} upstream calls per step")
