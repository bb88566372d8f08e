"""``serve``: the proxy, until it is told to stop."""

import argparse
import contextlib
import gc
import sys
from dataclasses import replace

import structlog

from proxy import simulator
from proxy.check.startup import validate
from proxy.commands.configuration import configuration
from proxy.config import Config
from proxy.config.secrets import Redactor
from proxy.server.app import create_app
from proxy.server.run import serve
from proxy.telemetry import logs

THREADS_YIELD_S = 0.0005  # those that write and send what was noted: Python's own 5 ms would show in every token
COLLECT_EVERY = 2_000  # objects more than at the last look; Python's own 700 is for programs that make few

_TRY_IT = """\

  The proxy listens on {url}{page}

  curl -N {url}/v1/chat/completions \\
    -H 'content-type: application/json' -H '{header}: demo-1' \\{key}
    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
"""


async def run(options: argparse.Namespace) -> int:
    config = configuration(options.config, host=options.host, port=options.port, demo=options.demo)
    logs.configure(config.log_level, config.log_format, Redactor(config))
    logs.tell_of_crashes()
    sys.setswitchinterval(THREADS_YIELD_S)
    async with contextlib.AsyncExitStack() as stack:
        if config.demo:
            stand_in = await stack.enter_async_context(simulator.serve())
            config = replace(config, idm_url=stand_in.url, api_url=stand_in.url)
        _tell(config)
        if config.validate_on_start and not await validate(config):
            return 1

        def on_ready(url: str) -> None:
            _settle_collector()
            structlog.get_logger().info("server.listening", url=url)
            if logs.for_people(config.log_format):
                print(_try_it(config, url), flush=True)

        await serve(create_app(config), config.host, config.port, drain=config.drain_timeout, on_ready=on_ready)
    return 0


def _try_it(config: Config, url: str) -> str:
    keyed = config.master_key or config.api_keys
    return _TRY_IT.format(
        url=url,
        page=" (a page to try a chat)" if config.page else "",
        header=config.correlation.header,
        model=config.models[0].name,
        key='\n    -H "authorization: Bearer $PROXY_API_KEY" \\' if keyed else "",
    )


def _settle_collector() -> None:
    """What is there at the start stays for good: the collector need not look at it again, nor so often at all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 50)


def _tell(config: Config) -> None:
    log = structlog.get_logger()
    for warning in config.warnings:
        log.warning("config.warning", warning=warning)
    for model in config.models:
        if model.ssl_verify is False:
            log.warning("tls.verification_disabled", model=model.name, api_base=model.api_base)
    if config.log_messages:
        log.warning("messages.logged", reason="LOG_MESSAGES is on: what callers write and are answered is in the log")
    log.info("config.loaded", source=config.source, models=[model.name for model in config.models], demo=config.demo)
