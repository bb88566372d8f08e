"""``models``: the names that requests may use, and who answers to them."""

import argparse
import sys

from proxy.commands.configuration import configuration
from proxy.commands.terminal import style
from proxy.config import Model

_HEADS = ("MODEL", "PROVIDER", "TARGET", "ALIASES")


async def run(options: argparse.Namespace) -> int:
    config = configuration(options.config)
    rows = [_HEADS, *(_row(model) for model in config.models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    print(style(sys.stdout).bold(lines[0]), *lines[1:], sep="\n")
    for warning in config.warnings:
        print(style(sys.stderr).dim(warning), file=sys.stderr)
    return 0


def _row(model: Model) -> tuple[str, ...]:
    return model.name, model.provider, model.target, ", ".join(model.aliases) or "-"
