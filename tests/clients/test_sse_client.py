"""aiohttp-sse-client2, a reader that nobody here wrote, on the proxy's own streams."""

import json

from aiohttp_sse_client2.client import EventSource

from tests.support.chat import PATH, body
from tests.support.processes import Proxy, StandIn


async def test_it_reads_the_stream(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    """Every event is JSON until [DONE] ends them; the text is whole."""
    stand_in.script(correlation_id, {"text": "Olá, mundo!\nTudo bem?", "delta_chars": 2, "interval_s": 0})
    source = EventSource(
        proxy.url + PATH,
        option={"method": "POST"},
        headers={"correlation-id": correlation_id},
        json=body(stream=True),
        max_connect_retry=0,
    )
    said = ""
    async with source:
        async for event in source:
            if event.data == "[DONE]":
                break
            said += json.loads(event.data)["choices"][0]["delta"].get("content") or ""
    assert said == "Olá, mundo!\nTudo bem?"
    assert len(stand_in.requests(correlation_id)) == 1
