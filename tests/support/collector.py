"""An OTLP/HTTP receiver that keeps the spans it is sent: `python -m tests.support.collector`, and the same as a
process for tests."""

import asyncio
import base64
import gzip
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.processes import Process

ANSWERS_WAIT_S = 30.0


class Receiver:
    """Decodes with OpenTelemetry's own protobuf classes. `mode` is `take`, `refuse` or `hang`."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.mode = "take"

    async def traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.mode == "hang":
            await asyncio.sleep(ANSWERS_WAIT_S)
        if self.mode == "refuse":
            return web.Response(status=400)
        if request.headers.get("content-encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        sent = MessageToDict(ExportTraceServiceRequest.FromString(body))
        for resource in sent["resourceSpans"]:
            about = attributes(resource["resource"])
            for scope in resource["scopeSpans"]:
                self.spans += [_plain(span) | {"resource": about} for span in scope["spans"]]
        return web.Response(body=b"", content_type="application/x-protobuf")

    async def control(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            self.mode = (await request.json())["mode"]
        return web.json_response({"spans": self.spans, "headers": self.headers})


def _plain(span: dict[str, Any]) -> dict[str, Any]:
    """With its ids as they are written elsewhere."""
    ids = {key: base64.b64decode(span.get(key, "")).hex() for key in ("traceId", "spanId", "parentSpanId")}
    return span | ids | {"attributes": attributes(span), "code": span.get("status", {}).get("code", "unset")}


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: _value(item["value"]) for item in of.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    if kind == "arrayValue":
        return [_value(item) for item in plain["values"]]
    return int(plain) if kind == "intValue" else plain


class Collector(Process):
    """A running receiver; `url` is what OTEL_EXPORTER_OTLP_ENDPOINT would be."""

    def __init__(self, cwd: Path) -> None:
        super().__init__([sys.executable, "-m", "tests.support.collector"], {}, cwd)
        self.url = self.wait_for(r"listens on (\S+)")[1]
        self.client = httpx.Client(base_url=self.url, timeout=10)

    def mode(self, mode: str) -> None:
        self.client.put("/_collector", json={"mode": mode}).raise_for_status()

    def headers(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.client.get("/_collector").raise_for_status().json()["headers"]
        return found

    def spans(self, correlation_id: str | None = None) -> list[dict[str, Any]]:
        """Oldest first; those of one correlation id if one is given."""
        found = self.client.get("/_collector").raise_for_status().json()["spans"]
        wanted = [span for span in found if correlation_id in (None, span["attributes"].get("correlation_id"))]
        return sorted(wanted, key=lambda span: int(span["startTimeUnixNano"]))

    def wait_for_server_span(self, correlation_id: str, seconds: float = 10) -> list[dict[str, Any]]:
        """All spans of a request, once it is over."""
        return self.wait_until(lambda: self.spans(correlation_id), _has_server, seconds)

    def wait_until(self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 10) -> Any:
        deadline = time.monotonic() + seconds
        while not good(found := look()):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return super().stop(number)


def _has_server(spans: list[dict[str, Any]]) -> bool:
    return any(span["kind"] == "SPAN_KIND_SERVER" for span in spans)


async def _serve() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    receiver = Receiver()
    app = web.Application(client_max_size=2**26)
    app.add_routes(
        [
            web.post("/v1/traces", receiver.traces),
            web.get("/_collector", receiver.control),
            web.put("/_collector", receiver.control),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
