"""``check``: what is configured, whether it can be reached, and whether the models answer."""

import argparse
import os
import sys
from pathlib import Path

from proxy.check.ask import HELLO, Prompt
from proxy.check.command import check
from proxy.commands import CommandFailed
from proxy.commands.configuration import configuration
from proxy.commands.terminal import Style, style
from proxy.config.secrets import Redactor
from proxy.telemetry import logs


async def run(options: argparse.Namespace) -> int:
    config = configuration(options.config)
    prompts = [HELLO] if options.agents else []
    if options.prompts is not None:
        prompts += read_prompts(options.prompts)
    # What there is to say is said in the report, unless somebody wants to know it all.
    logs.configure("DEBUG" if config.log_level == "DEBUG" else "CRITICAL", config.log_format, Redactor(config))
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # answers may hold what a terminal cannot show
    colours = style(sys.stdout)

    def tell(line: str) -> None:
        print(_coloured(line, colours), flush=True)

    return await check(config, os.environ, tell, network=not options.no_network, prompts=prompts)


def read_prompts(folder: Path) -> list[Prompt]:
    """A prompt of each ``*.txt`` file, in the order of their names."""
    try:
        prompts = [Prompt(file.stem, file.read_text(encoding="utf-8").strip()) for file in sorted(folder.glob("*.txt"))]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"--prompts {folder}: {error}") from None
    if not prompts:
        raise CommandFailed(f"--prompts {folder}: there is no *.txt file in it")
    if empty := [prompt.name for prompt in prompts if not prompt.text]:
        raise CommandFailed(f"--prompts {folder}: {empty[0]}.txt is empty")
    return prompts


def _coloured(line: str, colours: Style) -> str:
    if line.startswith("  FAILED"):
        return line.replace("FAILED", colours.red("FAILED"), 1)
    if line.startswith("  ok "):
        return line.replace("ok", colours.green("ok"), 1)
    return line
