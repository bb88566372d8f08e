"""What can go wrong, each with a proxy of its own, and the alerts that have to tell it."""

import asyncio
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.prometheus import PROXIES
from tests.support.chat import PATH, WEATHER_TOOL, body
from tests.support.processes import CREDENTIALS, Proxy, StandIn

CONFIG = """\
model_list:
  - model_name: chat
    litellm_params: {model: stackspot/agent}
  - model_name: spare
    litellm_params: {model: stackspot/agent}
"""
WORDS = [f"word {number} " for number in range(40)]


@dataclass(frozen=True, eq=False)
class Scenario:
    """``name`` is that of the job. ``answer`` is what the simulator does with each request."""

    name: str
    alerts: frozenset[str]
    answer: Mapping[str, Any] = field(default_factory=lambda: {"deltas": WORDS, "interval_s": 0.01})
    config: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    stall_s: float = 0.0
    """For so long the process is stopped now and then."""


WELL = Scenario(PROXIES, frozenset(), {}, fields={"tools": [WEATHER_TOOL]})
LONELY = Scenario("redis-lost", frozenset({"ProxyRedisLost"}))
REJECTED = Scenario("wrong-config", frozenset({"ProxyConfigRejected"}))
SCENARIOS = [
    WELL,
    LONELY,
    REJECTED,
    Scenario(
        "stackspot-down",
        frozenset({"ProxyUpstreamFailing"}),
        {"refuse": "unavailable"},
        config="router_settings: {num_retries: 1, fallbacks: [{chat: [spare]}]}",
    ),
    Scenario(
        "wrong-credentials",
        frozenset({"ProxyLoginFailing", "ProxyUpstreamFailing"}),
        env={"CLIENT_SECRET": "wrong-secret"},
    ),
    Scenario(
        "truncated",
        frozenset({"ProxyStreamsTruncated", "ProxyUpstreamFailing"}),
        {"deltas": WORDS, "interval_s": 0, "cut": {"how": "close", "after": 9}},
    ),
    Scenario(
        "short-quota",
        frozenset({"ProxyQuotaSaturated"}),
        config="proxy: {quota: {requests_per_minute: 12, max_concurrent: 1, queue_timeout: 2}}",
    ),
    Scenario("spent-credit", frozenset({"ProxyQuotaSaturated"}), {"refuse": "credit"}),
    Scenario("slow", frozenset({"ProxyFirstTokenSlow"}), {"text": "At last", "before_events_s": 10.5}),
    Scenario("stalled", frozenset({"ProxyEventLoopLag"}), stall_s=0.3),
    Scenario("full", frozenset({"ProxyFailing"}), config="proxy: {limits: {max_streams: 1}}"),
    Scenario("wrong-model", frozenset({"ProxyCallersFailing"}), fields={"model": "no-such-model"}),
]


def start(scenario: Scenario, stand_in: StandIn, folder: Path, redis: str | None = None) -> Proxy:
    """A proxy as the scenario wants it, and the simulator told what to do."""
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG + scenario.config, encoding="utf-8")
    if scenario.answer:
        stand_in.script(scenario.name, dict(scenario.answer) | {"repeat": True})
    env = CREDENTIALS | stand_in.env | scenario.env | ({"REDIS_URL": redis} if redis else {})
    return Proxy(env=env | {"LOG_LEVEL": "INFO"}, cwd=folder)


class Load:
    """Asks every proxy something several times a second, until it is stopped."""

    def __init__(self, proxies: Mapping[Scenario, Proxy], every_s: float = 0.25) -> None:
        self._every_s = every_s
        self._proxies = proxies
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
            await asyncio.gather(*(self._play(client, *found) for found in self._proxies.items()))

    async def _play(self, client: httpx.AsyncClient, scenario: Scenario, proxy: Proxy) -> None:
        asked: set[asyncio.Task[None]] = set()
        number = 0
        while not self._stop.is_set():
            number += 1
            asked.add(asyncio.create_task(self._ask(client, scenario, proxy, stream=number % 4 > 0)))
            await asyncio.sleep(self._every_s)
            if scenario.stall_s and not number % 8:
                proxy.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(scenario.stall_s)
                proxy.process.send_signal(signal.SIGCONT)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, client: httpx.AsyncClient, scenario: Scenario, proxy: Proxy, *, stream: bool) -> None:
        sent = body(model="chat", stream=stream) | scenario.fields
        await client.post(proxy.url + PATH, headers={"correlation-id": scenario.name}, json=sent)
