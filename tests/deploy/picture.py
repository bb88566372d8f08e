"""``python -m tests.deploy.picture``: plays a bad two minutes to a proxy, has a real Prometheus answer what the
dashboard asks, and draws the answers into deploy/figures/dashboard.svg. For the README."""

import asyncio
import math
import random
import re
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.deploy.drawing import Graph, Phase, draw
from tests.deploy.prometheus import PROXIES, Prometheus
from tests.deploy.shipped import RULES, copy_hurried, targets
from tests.support.chat import PATH, WEATHER_TOOL, body
from tests.support.processes import CREDENTIALS, ROOT, Proxy, StandIn
from tests.support.redis_server import RedisServer

PICTURE = ROOT / "deploy" / "figures" / "dashboard.svg"
SECONDS = 120.0
DOWN = Phase("StackSpot answers 503", 25, 40)
BURST = Phase("more than the quota allows", 55, 70)
CUT = Phase("streams are cut off", 85, 95)
AWAY = Phase("Redis is away", 100, 110)
PHASES = (DOWN, BURST, CUT, AWAY)
CONFIG = """\
model_list:
  - model_name: stackspot-ai-chat
    litellm_params: {model: stackspot/agent}
router_settings: {num_retries: 1}
proxy: {quota: {requests_per_minute: 360, max_concurrent: 12, queue_timeout: 3}}
"""
TEXT = " ".join(["word"] * 60)


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stand_in = StandIn(folder)
        stack.callback(stand_in.stop)
        stand_in.settings(token_lifetime_s=20)  # or there would be one login to see
        redis = RedisServer(folder)
        stack.callback(redis.stop)
        (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
        env = CREDENTIALS | stand_in.env | {"REDIS_URL": redis.url, "LOG_LEVEL": "INFO"}
        proxy = Proxy(env=env, cwd=folder)
        stack.callback(proxy.stop)
        copy_hurried(folder)
        prometheus = Prometheus(folder, {PROXIES: [proxy.url.removeprefix("http://")]}, RULES)
        stack.callback(prometheus.stop)
        began = time.time()
        stack.callback(asyncio.run(play(proxy, stand_in, redis)).stop)
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(draw(answers(prometheus, began), PHASES, SECONDS), encoding="utf-8")
    print(PICTURE.relative_to(ROOT))


async def play(proxy: Proxy, stand_in: StandIn, redis: RedisServer) -> RedisServer:
    """The whole story; gives the Redis that runs at its end."""
    script(stand_in, {"text": TEXT, "interval_s": 0.02})
    dice, began, asked = random.Random(1), time.monotonic(), set[asyncio.Task[None]]()
    at = 0.0
    async with httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        while at < SECONDS:
            before, at = at, time.monotonic() - began
            for phase in PHASES:
                if before < phase.begin <= at:
                    begin(phase, stand_in, redis)
                elif before < phase.end <= at:
                    redis = end(phase, stand_in, redis)
            asked.add(asyncio.create_task(ask(client, proxy, dice)))
            await asyncio.sleep(dice.expovariate(18 if BURST.begin <= at < BURST.end else 4))
        await asyncio.gather(*asked)
    return redis


def begin(phase: Phase, stand_in: StandIn, redis: RedisServer) -> None:
    if phase is DOWN:
        script(stand_in, {"refuse": "unavailable"})
    elif phase is CUT:
        script(stand_in, {"text": TEXT, "interval_s": 0.02, "cut": {"how": "close", "after": 30}})
    elif phase is AWAY:
        redis.kill()


def end(phase: Phase, stand_in: StandIn, redis: RedisServer) -> RedisServer:
    script(stand_in, {"text": TEXT, "interval_s": 0.02})
    return RedisServer(Path(tempfile.gettempdir()), port=redis.port) if phase is AWAY else redis


def script(stand_in: StandIn, answer: dict[str, object]) -> None:
    stand_in.script("text", answer | {"repeat": True})


async def ask(client: httpx.AsyncClient, proxy: Proxy, dice: random.Random) -> None:
    """Mostly a text; now and then a tool call, or a mistake of the caller's."""
    kind = dice.choices(["text", "call", "mistake"], [16, 3, 1])[0]
    fields = {"text": {}, "call": {"tools": [WEATHER_TOOL]}, "mistake": {"model": "no-such-model"}}[kind]
    sent = body(stream=dice.random() < 0.8) | fields
    await client.post(proxy.url + PATH, headers={"correlation-id": kind}, json=sent)


def answers(prometheus: Prometheus, began: float) -> list[Graph]:
    graphs: dict[int, Graph] = {}
    for panel, target, expression in targets():
        if panel["type"] != "timeseries":
            continue
        overrides = panel["fieldConfig"]["overrides"]
        colours = {it["matcher"]["options"]: it["properties"][0]["value"]["fixedColor"] for it in overrides}
        unit = panel["fieldConfig"]["defaults"]["unit"]
        graph = graphs.setdefault(panel["id"], Graph(panel["title"], unit, [], colours))
        query = {"query": expression, "start": began, "end": began + SECONDS, "step": 1}
        for series in prometheus.ask("query_range", **query)["result"]:
            points = [(at - began, float(value)) for at, value in series["values"]]
            name = legend(target["legendFormat"], series["metric"])
            graph.series.append((name, [(at, value) for at, value in points if math.isfinite(value)]))
    return list(graphs.values())


def legend(form: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form)


if __name__ == "__main__":
    main()
