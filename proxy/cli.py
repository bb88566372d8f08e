"""The command line. What a command does stands in ``proxy/commands``, which only the command that runs imports."""

import argparse
import contextlib
import difflib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from proxy import __version__

FAILED = 1
INTERRUPTED = 130  # as shells have it for a command that was stopped by SIGINT
NOBODY_READS = 141  # and by SIGPIPE
TERMINATED = 143  # and by SIGTERM

_PROGRAM = "stackspot-proxy"
_ABOUT = """\
OpenAI's API in front of StackSpot AI's agents: a streaming proxy.

Without a command it serves. `COMMAND --help` tells more of each.
"""
_EXAMPLES = """\
examples:
  %(prog)s --demo                              try it: no credentials, no config
  %(prog)s check                               what is configured, and can it be reached?
  %(prog)s chat --model stackspot --user Hi    one answer, as JSON

Settings come from flags, the environment, .env and config.yaml; the earlier of these wins.
Exit codes: 0 all is well, 1 it failed, 2 wrong usage, 130 interrupted, 143 terminated.
"""
_CHAT = """\
Asks a model and prints one JSON object: output, provider, model, usage, latency_ms, correlation_id.
Nothing else goes to standard output; what is wrong goes to standard error.

The prompt is --user, or standard input without it and with `--user -`. With --base-url a running proxy is asked
(PROXY_API_KEY is sent when set); without it the proxy works inside this command, with its config.
"""
_CHAT_EXAMPLES = """\
examples:
  %(prog)s --model stackspot --user "What is eventual consistency?" | jq -r .output
  git diff | %(prog)s --model stackspot --system "Review this change." --stream
  %(prog)s --model stackspot --user Hi --stream --base-url http://127.0.0.1:4000
"""
_CHECK = """\
Prints every setting with where it came from (secrets masked), logs in, and reaches each provider once. No model is
called, unless --agents or --prompts asks for it: that costs quota.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _signals(serves=not arguments or arguments[0].startswith("-") or arguments[0] in ("serve", "simulator")):
        parser, commands = _parser()
        options = parser.parse_args(_with_command(parser, arguments, commands))
        if options.command == "check" and options.no_network and (options.agents or options.prompts):
            parser.error("--agents and --prompts ask the models, which --no-network forbids")
        return _run(options)


@contextlib.contextmanager
def _signals(*, serves: bool) -> Iterator[None]:
    """Handle SIGTERM until a command does so itself: without a handler, process 1 of a container never sees it. A
    program that ``serves`` exits with 0 then, and SIGHUP does not end it."""

    def terminate(*_: object) -> NoReturn:
        sys.exit(0 if serves else TERMINATED)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, terminate)}
    if serves:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_command(parser: argparse.ArgumentParser, arguments: list[str], commands: Sequence[str]) -> list[str]:
    """The arguments, ``serve`` in front of those that name no command."""
    first = arguments[0] if arguments else ""
    if first in (*commands, "-h", "--help", "--version"):
        return arguments
    if first and not first.startswith("-"):
        close = difflib.get_close_matches(first, commands, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(commands)}"
        parser.error(f"there is no command {first!r}; {hint}")
    return ["serve", *arguments]


def _run(options: argparse.Namespace) -> int:
    import asyncio

    import uvloop

    from proxy.commands import CommandFailed
    from proxy.config import ConfigError

    command = importlib.import_module(f"proxy.commands.{options.command}")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code: int = runner.run(command.run(options))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return NOBODY_READS
    except (ConfigError, CommandFailed) as error:
        return _give_up(options.command, str(error))
    except OSError as error:
        hint = "; choose another port with --port or PROXY_PORT" if error.errno == errno.EADDRINUSE else ""
        return _give_up(options.command, f"{error}{hint}")


def _give_up(command: str, reason: str) -> int:
    """A command that failed: told for people, unless it would have served and JSON was asked for."""
    if command == "serve" and os.environ.get("LOG_FORMAT") == "json":
        import structlog

        from proxy.telemetry import logs

        logs.configure("INFO", "json")
        structlog.get_logger().error("start.failed", reason=reason)
    else:
        from proxy.commands.terminal import style
        from proxy.telemetry.output import output

        output(sys.stderr.fileno()).write(f"{style(sys.stderr).red(_PROGRAM)}: {reason}\n")  # print could block
    return FAILED


def _parser() -> tuple[argparse.ArgumentParser, Sequence[str]]:
    """And the names of the commands."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description=_ABOUT, epilog=_EXAMPLES, formatter_class=layout, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, summary: str, about: str = "", examples: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=about or f"{summary[0].upper()}{summary[1:]}.",
            epilog=examples,
            formatter_class=layout,
            allow_abbrev=False,
        )

    serve = command("serve", "serve the proxy (the default command)")
    _add_config(serve)
    serve.add_argument("--host", metavar="H", help="default: PROXY_HOST, else 127.0.0.1")
    serve.add_argument("--port", type=_port, metavar="P", help="default: PROXY_PORT, else 4000; 0 takes a free one")
    serve.add_argument(
        "--demo", action="store_true", help="answer from the built-in simulator; needs no credentials and no config"
    )

    check = command("check", "show the settings, and check that everything can be reached", _CHECK)
    _add_config(check)
    check.add_argument("--no-network", action="store_true", help="check the configuration alone")
    check.add_argument("--agents", action="store_true", help="also ask every model, with one short prompt")
    check.add_argument(
        "--prompts", type=Path, metavar="DIR", help="also ask every model each *.txt file of this folder"
    )

    _add_config(command("models", "list the models' names and aliases, with provider and target"))

    chat = command("chat", "ask a model, and print its answer", _CHAT, _CHAT_EXAMPLES)
    _add_config(chat)
    chat.add_argument("--model", required=True, metavar="M", help="a name or an alias, as `models` lists them")
    chat.add_argument("--user", metavar="TEXT", help="the prompt; - or none: standard input")
    chat.add_argument("--system", metavar="TEXT", help="a system prompt")
    chat.add_argument("--stream", action="store_true", help="print the text as it arrives, in place of JSON")
    chat.add_argument("--correlation-id", metavar="ID", help="1 to 128 of A-Z a-z 0-9 . _ : -; default: one is made")
    chat.add_argument("--base-url", type=_base_url, metavar="URL", help="ask the running proxy at this address")

    simulator = command("simulator", "serve the StackSpot stand-in alone")
    simulator.add_argument("--port", type=_port, metavar="P", default=8090, help="default: 8090")
    simulator.add_argument("--replay", type=Path, metavar="DIR", help="answer with captured streams")
    return parser, tuple(commands.choices)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: PROXY_CONFIG, else ./config.yaml")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is between 0 and 65535, not {text!r}")
    return int(text)


def _base_url(text: str) -> str:
    """The root of a proxy, whether or not ``/v1`` was given as well."""
    from proxy.config.addresses import fault_of_http

    if fault := fault_of_http(text):
        raise argparse.ArgumentTypeError(fault)
    return text.rstrip("/").removesuffix("/v1")
