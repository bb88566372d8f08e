"""What the simulator has seen: records, counts, and clients that leave."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from proxy.simulator import Simulator
from proxy.simulator.accounts import Account, Arrivals, RateLimit, fixed_maximum, sliding_maximum
from proxy.simulator.ledger import BYTES_KEPT, Exchange, Ledger

from .helpers import AGENT, Client, eventually, now, raw_chat


async def test_a_request_is_recorded(client: Client) -> None:
    before = now()
    await client.chat("Olá", correlation_id="c-7")
    (exchange,) = await client.requests()
    assert exchange["agent_id"] == AGENT
    assert exchange["correlation_id"] == exchange["headers"]["correlation-id"] == "c-7"
    assert exchange["headers"]["authorization"] == "***"
    assert exchange["body"] == {"streaming": True, "user_prompt": "Olá"}
    assert (exchange["status"], exchange["end"], exchange["generating"]) == (200, "complete", True)
    assert before <= exchange["arrived"] <= exchange["arrived"] + exchange["seconds"]


async def test_requests_by_correlation_id(client: Client) -> None:
    for correlation_id in ("a", "b", "a"):
        await client.chat(correlation_id=correlation_id)
    assert len(await client.requests("?correlation_id=a")) == 2
    assert len(await client.requests()) == 3


async def test_refusals_are_recorded(client: Client) -> None:
    await client.chat(key="stranger")
    (exchange,) = await client.requests()
    assert (exchange["status"], exchange["end"], exchange["generating"]) == (401, "refused", False)


async def test_the_newest_are_kept(client: Client) -> None:
    await client.settings(requests_kept=2)
    for correlation_id in ("a", "b", "c"):
        await client.chat(correlation_id=correlation_id)
    assert [exchange["correlation_id"] for exchange in await client.requests()] == ["b", "c"]
    assert (await client.stats())["requests"] == 3


def test_large_bodies_are_not_all_kept() -> None:
    ledger = Ledger(kept=1000)
    for number in range(4):
        ledger.arrived(Exchange("a", {}, str(number), None, BYTES_KEPT // 3, 0.0))
    assert [exchange.correlation_id for exchange in ledger.exchanges] == ["1", "2", "3"]


ENDS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing special": ({}, "complete"),
    "a stop for length": ({"stop_reason": "length"}, "complete"),
    "a cut": ({"cut": {"how": "clean", "after": 1}}, "scripted"),
    "no final event": ({"final": False}, "scripted"),
    "an error": ({"error": {"form": "type"}}, "scripted"),
    "a refusal": ({"refuse": "credit"}, "scripted"),
    "raw bytes": ({"raw": "aGk="}, "scripted"),
}


@pytest.mark.parametrize(("answer", "end"), ENDS.values(), ids=ENDS)
async def test_how_it_ended(client: Client, answer: dict[str, Any], end: str) -> None:
    await client.script(answer)
    await client.chat()
    (exchange,) = await client.requests()
    stats = await client.stats()
    assert (exchange["end"], stats[end], stats["open_streams"]) == (end, 1, 0)


LEAVING: dict[str, dict[str, Any]] = {
    "before the status line": {"before_status_s": 30},
    "before the first event": {"before_events_s": 30},
    "in a pause": {"pause": {"after": 1, "seconds": 30}},
    "between deltas": {"deltas": ["x"] * 1000, "interval_s": 0.01},
    "in an endless flood": {"endless_empty": True},
    "without reading a large answer": {"text": "x" * 20_000_000, "delta_chars": 1_000_000},
}


@pytest.mark.parametrize("answer", LEAVING.values(), ids=LEAVING)
async def test_leaving_is_noticed(simulator: Simulator, client: Client, answer: dict[str, Any]) -> None:
    await client.script(answer)
    async with raw_chat(simulator.url):
        await asyncio.sleep(0.05)
        assert (await client.stats())["open_streams"] == 1

    async def noticed() -> bool:
        return bool((await client.stats())["client_closed"] == 1)

    await eventually(noticed, 0.5)
    (exchange,) = await client.requests()
    assert exchange["end"] == "client_closed"
    assert 0.03 < exchange["seconds"] < 1
    assert (await client.stats())["open_streams"] == 0


async def test_leaving_after_the_final_event_is_no_loss(simulator: Simulator, client: Client) -> None:
    await client.script({"linger_s": 30})
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"message_id")
    (exchange,) = await client.requests()
    assert exchange["end"] == "complete"


async def test_open_streams_are_counted(simulator: Simulator, client: Client) -> None:
    await client.script({"before_events_s": 30, "repeat": True})
    async with AsyncExitStack() as chats:
        for _ in range(3):
            chat = await chats.enter_async_context(raw_chat(simulator.url))
            await chat.until(b"\r\n\r\n")
        stats = await client.stats()
    assert (stats["generations"], stats["open_streams"], stats["open_streams_max"]) == (3, 3, 3)


async def test_the_state_is_there_for_users_in_the_process(simulator: Simulator, client: Client) -> None:
    await client.chat("Olá")
    assert simulator.state.ledger.generations == 1
    assert simulator.state.ledger.exchanges[0].body == {"streaming": True, "user_prompt": "Olá"}


class TestWindows:
    TIMES = (0.0, 50.0, 59.0, 61.0, 70.0, 119.0)

    def test_sliding(self) -> None:
        assert sliding_maximum(self.TIMES, 60) == 4
        assert sliding_maximum((0.0, 60.0), 60) == 1
        assert sliding_maximum((), 60) == 0

    def test_fixed(self) -> None:
        assert fixed_maximum(self.TIMES, 60) == 3
        assert fixed_maximum(self.TIMES, 60, start=50.0) == 4
        assert fixed_maximum((), 60) == 0

    def test_the_limit_slides_and_forgets_the_refused(self) -> None:
        arrivals, account, limit = Arrivals(), Account("acme", "a"), RateLimit(2, 10)
        times = (0.0, 5.0, 9.0, 10.0, 14.0, 15.0)
        assert [arrivals.admit(account, limit, t) for t in times] == [True, True, False, True, False, True]
        assert list(times) == list(arrivals.times[account])

    async def test_in_the_stats(self, client: Client) -> None:
        await client.chat(key=await client.token())
        account = (await client.stats("?window_s=5"))["accounts"]["acme/some-client"]
        assert account == {"requests": 1, "sliding_maximum": 1, "fixed_maximum": 1}
        assert (await client.request("GET", "/_simulator/stats?window_s=x")).status == 400
