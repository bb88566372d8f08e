"""How much later a token comes through the shipped nginx: ``python -m tests.deploy.front_delay``. Bounded: a minute.

The upstream writes into each token when it sent it, and the callers, on the same clock, look when they have it."""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson

from tests.deploy.front import Nginx, Replica
from tests.faults.upstream import Beside, Exchange, Steps, Upstream
from tests.faults.wire import LAST, STACKSPOT, chunk
from tests.support.chat import PATH, body

STREAMS = 50
TOKENS = 150
EVERY_S = 0.02
ROUNDS = 6
CONFIG = "model_list: [{model_name: stackspot-ai-chat, litellm_params: {model: stackspot/agent}}]\n"


def stamped(_: Exchange) -> Steps:
    yield STACKSPOT.head
    for _ in range(TOKENS):
        yield chunk(STACKSPOT.delta(f"{time.monotonic_ns()} "))
        yield EVERY_S
    yield chunk(STACKSPOT.closing) + LAST


async def one(port: int, name: str, delays: list[float]) -> None:
    """One stream; its tokens' delays, in milliseconds."""
    data = orjson.dumps(body(stream=True))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncorrelation-id: {name}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    while b"[DONE]" not in (line := await reader.readline()):
        if not line:
            raise SystemExit(f"{name}: the stream broke off")
        if line.startswith(b"data: {"):
            now = time.monotonic_ns()
            for choice in orjson.loads(line[6:])["choices"]:
                delays += [(now - int(sent)) / 1e6 for sent in (choice["delta"].get("content") or "").split()]
    writer.close()


async def all_at_once(port: int) -> list[float]:
    delays: list[float] = []
    await asyncio.gather(*(one(port, f"delay-{number}", delays) for number in range(STREAMS)))
    assert len(delays) == STREAMS * TOKENS
    return delays


def percentiles(delays: list[float]) -> tuple[float, float]:
    cut = statistics.quantiles(delays, n=100)
    return cut[49], cut[98]


def main() -> int:
    upstream = Upstream(stamped)
    with tempfile.TemporaryDirectory() as folder, Beside(upstream):
        env = {"STACKSPOT_IDM_URL": upstream.url, "STACKSPOT_API_URL": upstream.url, "LOG_LEVEL": "INFO"}
        replica = Replica(Path(folder, "replica"), CONFIG, env)
        nginx = Nginx(Path(folder), [f"127.0.0.1:{replica.port}"])
        ports = {"the proxy alone": replica.port, "through nginx": int(nginx.url.rpartition(":")[2])}
        try:
            rounds = [
                {name: percentiles(asyncio.run(all_at_once(port))) for name, port in ports.items()}
                for _ in range(ROUNDS)
            ]
        finally:
            nginx.stop()
            replica.now.stop()
    print(
        f"{STREAMS} streams, a token every {EVERY_S * 1000:g} ms; a token's way in ms, medians of {ROUNDS} rounds (range)"
    )
    for name in ports:
        both = zip(*(found[name] for found in rounds), strict=True)
        told = [f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})" for each in both]
        print(f"  {name:16} median {told[0]:20} p99 {told[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
