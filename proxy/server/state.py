"""What the server's parts share: the record of a request, and whether the proxy is serving or draining."""

from dataclasses import dataclass

from aiohttp import web

from proxy.telemetry.record import Record

RECORD = web.RequestKey("record", Record)


@dataclass(slots=True)
class State:
    started: bool = False
    draining: bool = False

    @property
    def ready(self) -> bool:
        return self.started and not self.draining
