"""The command line: ``serve`` (the default), ``check`` and ``simulator``."""

import argparse
import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dotenv
import structlog
import uvloop

from proxy import __version__, simulator
from proxy.check.ask import HELLO
from proxy.check.command import check
from proxy.check.startup import validate
from proxy.config import Config, ConfigError, load
from proxy.config.environment import Environment
from proxy.server.app import create_app
from proxy.server.run import serve
from proxy.telemetry import logs

COMMANDS = ("serve", "check", "simulator")
INTERRUPTED = 130  # as shells have it for a command that was stopped by SIGINT
THREADS_YIELD_S = 0.0005  # those that write and send what was noted: Python's own 5 ms would show in every token
COLLECT_EVERY = 2_000  # objects more than at the last look; Python's own 700 is for programs that make few

_TRY_IT = """\

  The proxy listens on {url}

  curl -N {url}/v1/chat/completions \\
    -H 'content-type: application/json' -H '{header}: demo-1' \\{key}
    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        arguments.insert(0, "serve")
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "check" and options.no_network and options.agents:
        parser.error("--agents asks the models, which --no-network forbids")
    try:
        match options.command:
            case "simulator":
                return _run(_simulator(options))
            case "check":
                return _run(_check(options))
        return _run(_serve(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ConfigError, simulator.ReplayError) as error:
        return _give_up(str(error))
    except OSError as error:
        hint = "; choose another port with --port or PROXY_PORT" if error.errno == errno.EADDRINUSE else ""
        return _give_up(f"{error}{hint}")


def _give_up(reason: str) -> int:
    """A start that failed: for people, unless JSON was asked for."""
    if os.environ.get("LOG_FORMAT") == "json":
        logs.configure("INFO", "json")
        structlog.get_logger().error("start.failed", reason=reason)
    else:
        print(f"stackspot-proxy: {reason}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stackspot-proxy", description="OpenAI's API in front of StackSpot AI's agents."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    serving = commands.add_parser("serve", help="serve the proxy (the default command)")
    serving.add_argument("--config", type=Path, metavar="FILE", help="default: PROXY_CONFIG, else ./config.yaml")
    serving.add_argument("--host", metavar="H", help="default: PROXY_HOST, else 127.0.0.1")
    serving.add_argument("--port", type=_port, metavar="P", help="default: PROXY_PORT, else 4000; 0 takes a free one")
    serving.add_argument(
        "--demo", action="store_true", help="answer from the built-in simulator; needs no credentials and no config"
    )
    checking = commands.add_parser("check", help="show the settings, and check that everything can be reached")
    checking.add_argument("--config", type=Path, metavar="FILE", help="default: PROXY_CONFIG, else ./config.yaml")
    checking.add_argument("--no-network", action="store_true", help="check the configuration alone")
    checking.add_argument("--agents", action="store_true", help="also ask every model, with one short prompt")
    standing_in = commands.add_parser("simulator", help="serve the StackSpot stand-in alone")
    standing_in.add_argument("--port", type=_port, metavar="P", default=8090, help="default: 8090")
    standing_in.add_argument("--replay", type=Path, metavar="DIR", help="answer with captured streams")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return port


def _run(command: Coroutine[None, None, int]) -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(command)


def _load(options: argparse.Namespace, **flags: Any) -> Config:
    """The configuration that the command line, the environment and ``.env`` lead to."""
    try:
        dot_env = dotenv.dotenv_values(".env", interpolate=False)
    except UnicodeDecodeError as error:
        raise ConfigError(f".env: cannot be read: {error}") from None
    environment = Environment(os.environ, dot_env)
    named = environment("PROXY_CONFIG")
    config = load(options.config or (Path(named) if named else None), environment, **flags)
    source = "flag" if options.config else environment.origin("PROXY_CONFIG")
    return replace(config, origins={**config.origins, "source": source})


async def _check(options: argparse.Namespace) -> int:
    config = _load(options)
    # What there is to say is said in the report, unless somebody wants to know it all.
    logs.configure("DEBUG" if config.log_level == "DEBUG" else "CRITICAL", config.log_format)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # answers may hold what a terminal cannot show
    prompts = [HELLO] if options.agents else []
    return await check(config, os.environ, partial(print, flush=True), network=not options.no_network, prompts=prompts)


async def _serve(options: argparse.Namespace) -> int:
    config = _load(options, host=options.host, port=options.port, demo=options.demo)
    logs.configure(config.log_level, config.log_format)
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
                model, header = config.models[0].name, config.correlation.header
                keyed = config.master_key or config.api_keys
                key = '\n    -H "authorization: Bearer $PROXY_API_KEY" \\' if keyed else ""
                print(_TRY_IT.format(url=url, header=header, model=model, key=key), flush=True)

        await serve(create_app(config), config.host, config.port, drain=config.drain_timeout, on_ready=on_ready)
    return 0


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


async def _simulator(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator.serve(port=options.port, replay=options.replay) as stand_in:
        print(
            f"StackSpot's stand-in listens on {stand_in.url}; "
            f"set STACKSPOT_IDM_URL={stand_in.url} STACKSPOT_API_URL={stand_in.url}",
            flush=True,
        )
        await stop.wait()
    return 0
