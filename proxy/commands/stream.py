"""The proxy's own streams, read by aiohttp-sse-client2."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from aiohttp_sse_client2.client import READY_STATE_CONNECTING, EventSource  # type: ignore[import-untyped]  # it has none

from proxy.commands import CommandFailed
from proxy.commands.refusals import accept, as_object, told
from proxy.local import Client

_DONE = "[DONE]"


async def texts(client: Client, path: str, body: Mapping[str, Any], correlation_id: str) -> AsyncIterator[str]:
    """The pieces of an answer, as they arrive.

    Raises ``CommandFailed`` when the proxy refuses, tells of an error, or its stream ends too early.
    """

    def on_error() -> None:
        if source.ready_state == READY_STATE_CONNECTING:  # it would now send the request again, for a second answer
            raise CommandFailed("the stream ended before the answer was complete")

    source = EventSource(
        path,
        option={"method": "POST"},
        session=client.session,
        reconnection_time=timedelta(0),
        max_connect_retry=0,
        on_error=on_error,
        headers={client.header: correlation_id},
        json=body,
        raise_for_status=accept,
    )
    async with source:
        async for event in source:
            if event.data == _DONE:
                return
            if text := _text(event.data):
                yield text


def _text(data: str) -> str:
    chunk = as_object(data.encode())
    if error := chunk.get("error"):
        raise CommandFailed(told(error))
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices") or ())
