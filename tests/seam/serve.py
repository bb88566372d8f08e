"""``python -m tests.seam.serve``: the proxy with the toys handed to its factory."""

import asyncio
import os

import structlog

from proxy.config import Config, Model
from proxy.core.callers.chat import Chat
from proxy.dispatch.credentials import NoCredential
from proxy.dispatch.providers import PROVIDERS, Provider
from proxy.server.run import serve
from proxy.server.service import Service
from proxy.server.signals import Signals
from proxy.telemetry import logs
from tests.seam.toy_caller import ToyCaller
from tests.seam.toy_upstream import ToyUpstream


async def main() -> None:
    logs.configure("DEBUG", "json")
    toy = Provider(
        dialect=lambda model, config: ToyUpstream(),
        base_url=lambda model, config: config.api_url,
        credential=lambda model, config, logins: NoCredential(),
    )
    config = Config(models=(Model("toy-model", "toy", "toy"),), api_url=os.environ["TOY_URL"], port=0, drain_timeout=1)
    service = Service(config, callers=(Chat(), ToyCaller()), providers={**PROVIDERS, "toy": toy})

    def on_ready(url: str) -> None:
        structlog.get_logger().info("server.listening", url=url)

    await serve(service, Signals(), on_ready=on_ready)


if __name__ == "__main__":
    asyncio.run(main())
