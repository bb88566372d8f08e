"""``serve``: the proxy, until it is told to stop."""

import argparse
import contextlib
import gc
import json
import shlex
import sys
from dataclasses import replace
from functools import partial

import structlog

from proxy import simulator
from proxy.check.startup import validate
from proxy.commands.configuration import configuration
from proxy.config import Config
from proxy.config.secrets import Redactor, secrets_of
from proxy.server.run import serve
from proxy.server.service import Service
from proxy.server.signals import Signals, Stopped
from proxy.server.threads import in_daemon_thread
from proxy.telemetry import events, logs
from proxy.telemetry.output import output

THREADS_YIELD_S = 0.0005  # those that write and send what was noted: Python's own 5 ms would show in every token
COLLECT_EVERY = 2_000  # objects more than at the last look; Python's own 700 is for programs that make few

REMEMBERED = 8  # configurations with secrets of their own

_TRY_IT = """\

  The proxy listens on {url}{page}

  {command}
"""
_NEXT_LINE = " \\\n    "


class Redaction:
    """Takes the secrets of this configuration out of lines, and those of the ones before, whose answers may still be
    under way."""

    def __init__(self, config: Config) -> None:
        self._secrets = secrets_of(config)
        self._redactors: tuple[Redactor, ...] = (Redactor(config),)

    def add(self, config: Config) -> None:
        if (secrets := secrets_of(config)) != self._secrets:
            self._secrets = secrets
            self._redactors = (Redactor(config), *self._redactors[: REMEMBERED - 1])

    def __call__(self, line: str) -> str:
        for redact in self._redactors:
            line = redact(line)
        return line


async def run(options: argparse.Namespace) -> int:
    signals = Signals()
    try:
        return await _run(options, signals)
    except Stopped:
        return 0


async def _run(options: argparse.Namespace, signals: Signals) -> int:
    given = partial(configuration, options.config, host=options.host, port=options.port, demo=options.demo)
    async with contextlib.AsyncExitStack() as stack:
        async with signals.starting():
            config, stand_in = await in_daemon_thread(given), None
            redaction = Redaction(config)
            logs.configure(config.log_level, config.log_format, redaction, messages=config.log_messages)
            logs.tell_of_crashes()
            sys.setswitchinterval(THREADS_YIELD_S)
            if config.demo:
                stand_in = (await stack.enter_async_context(simulator.serve())).url

            def load() -> Config:
                config = given()
                redaction.add(config)
                return replace(config, idm_url=stand_in, api_url=stand_in) if stand_in else config

            config = await in_daemon_thread(load)
            events.configured(config, "config.loaded")
            if config.validate_on_start and not await validate(config):
                return 1

        def on_ready(url: str) -> None:
            _settle_collector()
            if logs.for_people(config.log_format):
                structlog.get_logger().info("server.listening", url=url)
                shown = _TRY_IT.format(url=url, page=_page(config), command=_example(config, url))
                output(sys.stdout.fileno()).write(f"{shown}\n")  # print could block
            else:  # nothing but JSON goes out
                command = _example(config, url).replace(_NEXT_LINE, " ")
                structlog.get_logger().info("server.listening", url=url, example=command)

        await serve(Service(config), signals, on_ready=on_ready, load=load)
    return 0


def _page(config: Config) -> str:
    return " (a page to try a chat)" if config.page else ""


def _example(config: Config, url: str) -> str:
    """A command line that asks the first model, over several lines."""
    body = {"model": config.models[0].name, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    parts = [
        f"curl -N {url}/v1/chat/completions",
        f"-H 'content-type: application/json' -H '{config.correlation.header}: demo-1'",
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    ]
    if config.has_keys:
        parts.insert(2, '-H "authorization: Bearer $PROXY_API_KEY"')
    return _NEXT_LINE.join(parts)


def _settle_collector() -> None:
    """What is there at the start stays for good: the collector need not look at it again, nor so often at all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 50)
