"""The Dockerfile's steps on this machine, where no container engine is: each stage is a copy-on-write view of this root,
made by the kernel's overlay, and its instructions are carried out in it as they are written. What stands for the base
image is this machine with its Python."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.processes import ROOT

DOCKERFILE = ROOT / "Dockerfile"
BASE_BIN = "/usr/local/bin"
"""Where the base image has ``python`` and ``pip``; many machines have only ``python3``."""
UNPRIVILEGED = "setpriv --reuid={0} --regid={1} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"


@dataclass
class Stage:
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    def last(self, instruction: str) -> str:
        return [text for each, text in self.steps if each == instruction][-1]

    @property
    def health(self) -> list[str]:
        found: list[str] = json.loads(self.last("HEALTHCHECK").partition("CMD ")[2])
        return found


def stages() -> list[Stage]:
    """What the Dockerfile says, without comments and with its lines put together."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8")).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            found.append(Stage(rest.partition(" AS ")[2] or "final"))
        elif instruction == "ENV":
            found[-1].env |= dict(each.split("=", 1) for each in shlex.split(rest))
        else:
            found[-1].steps.append((instruction, rest.strip()))
    return found


def script(demo_port: int) -> str:
    """Builds all stages and becomes the last one's process, with --demo, as number 1 of its own process namespace: as the
    user that it names, without capabilities, on a root that cannot be written."""
    lines = ["set -eu", "views=$(mktemp -d)", "mount -t tmpfs tmpfs $views"]
    for stage in stages():
        lines += _build(stage)
    last = stages()[-1]
    root, user = f"$views/{last.name}/root", last.last("USER").split(":")
    variables = [f"{key}={_expanded(value)}" for key, value in last.env.items()] + [f"PROXY_PORT={demo_port}"]
    entry = [*json.loads(last.last("ENTRYPOINT")), "--demo"]
    lines += [
        f"mount -o remount,ro {root}",
        f"mount -t proc proc {root}/proc",
        f"cd {root}{last.last('WORKDIR')}",
        f"exec unshare --pid --fork --kill-child chroot {root} env --chdir={last.last('WORKDIR')} "
        f"{shlex.join(variables)} {UNPRIVILEGED.format(*user)} {shlex.join(entry)}",
    ]
    return "\n".join(lines)


def _build(stage: Stage) -> Iterator[str]:
    view = f"$views/{stage.name}"
    root = f"{view}/root"
    yield f"mkdir -p {view}/upper {view}/work {root}"
    yield f"mount -t overlay overlay -o lowerdir=/,upperdir={view}/upper,workdir={view}/work {root}"
    yield f"mount --rbind /dev {root}/dev"
    yield f"chmod 755 {root}/root; rm -rf {root}/app {root}/opt/venv"  # this machine's Python may live in /root
    yield f"mkdir -p {root}{BASE_BIN}"
    for name, command in (("python", sys._base_executable), ("pip", f"{sys.executable} -m pip")):
        yield f"printf '#!/bin/sh\\nexec {command} \"$@\"\\n' > {root}{BASE_BIN}/{name}; chmod 755 {root}{BASE_BIN}/{name}"
    where = "/"
    for instruction, text in stage.steps:
        if instruction == "WORKDIR":
            where = text
            yield f"mkdir -p {root}{where}"
        elif instruction == "COPY":
            yield from _copy(root, where, shlex.split(text))
        elif instruction == "RUN":
            env = [f"{key}={_expanded(value)}" for key, value in stage.env.items() if key != "PIP_NO_CACHE_DIR"]
            yield f"chroot {root} env --chdir={where} {shlex.join([*env, _path(stage)])} sh -c {shlex.quote(text)}"


def _copy(root: str, where: str, words: list[str]) -> Iterator[str]:
    other = f"$views/{words.pop(0).partition('=')[2]}/root" if words[0].startswith("--from=") else None
    *sources, to = words
    to = to if to.startswith("/") else f"{where}/{to}"
    folder = to.removesuffix("/") if to.endswith(("/", "/.")) else to.rpartition("/")[0]
    yield f"mkdir -p {root}{folder}"
    for source in sources:
        whole = "-T " if other or (ROOT / source).is_dir() else ""  # of a folder COPY takes what is in it
        yield f"cp -a {whole}{other or ROOT}/{source.lstrip('/')} {root}{to}"
    if not other:  # as .dockerignore says
        yield f"find {root}{to} -name __pycache__ -prune -exec rm -rf {{}} +"


def _path(stage: Stage) -> str:
    """The base image's Python is the first in its PATH."""
    return f"PATH={stage.env.get('PATH', '').replace('$PATH', '')}{BASE_BIN}:{os.environ['PATH']}"


def _expanded(value: str) -> str:
    return value.replace("$PATH", os.environ["PATH"])
