"""A real nginx with the shipped configuration, before replicas that may come and go."""

import os
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support.ports import free_port
from tests.support.processes import CREDENTIALS, ROOT, Process, Proxy
from tests.support.tools import find_nginx, require

SHIPPED = ROOT / "deploy" / "nginx"
PLACES = {"listen 8080;": "listen 127.0.0.1:{port};", "/tmp/": "{folder}/"}
"""What a test puts in the place of what is shipped; nothing else of the configuration is changed."""


def _nginx() -> str:
    require("nginx")
    found = find_nginx()
    assert found is not None, "it was required"
    return found


class Nginx(Process):
    """The shipped front; ``url`` is its root, ``replicas`` are hosts with ports."""

    def __init__(self, folder: Path, replicas: Sequence[str]) -> None:
        port = free_port()
        text = (SHIPPED / "nginx.conf").read_text(encoding="utf-8")
        for shipped, here in PLACES.items():
            assert shipped in text
            text = text.replace(shipped, here.format(port=port, folder=folder))
        if os.geteuid() == 0:
            text = f"user root;\n{text}"  # its workers have to reach the folder
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        (folder / "replicas.conf").write_text(replica_lines(replicas), encoding="utf-8")
        self.command = [_nginx(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        super().__init__([*self.command, "-g", "daemon off;"], {}, folder)
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        _wait_until_it_listens(port, self)

    def stop(self, number: int = 15) -> int:
        self.client.close()
        return super().stop(number)


def replica_lines(replicas: Sequence[str]) -> str:
    """replicas.conf as it is shipped, with other replicas."""
    (parameters,) = set(re.findall(r"(?m)^server \S+(.*;)$", (SHIPPED / "replicas.conf").read_text(encoding="utf-8")))
    return "".join(f"server {replica}{parameters}\n" for replica in replicas)


class Replica:
    """A proxy that is always found at the same port, however often it is restarted."""

    def __init__(self, folder: Path, config: str, env: dict[str, str]) -> None:
        folder.mkdir()
        (folder / "config.yaml").write_text(config, encoding="utf-8")
        self.port = free_port()
        self._folder = folder
        self._env = CREDENTIALS | env | {"PROXY_PORT": str(self.port)}
        self.starts: list[Proxy] = []
        self.start()

    @property
    def now(self) -> Proxy:
        return self.starts[-1]

    def start(self) -> None:
        self.starts.append(Proxy(env=self._env, cwd=self._folder))

    def restart(self) -> None:
        assert 0 == self.now.stop(), self.now.output
        self.start()

    def refusals(self) -> int:
        """Requests that came while it drained."""
        return sum(len(proxy.events(event="request.rejected", code="shutting_down")) for proxy in self.starts)


def _wait_until_it_listens(port: int, process: Process) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.process.poll() is None, process.output
        time.sleep(0.01)
    raise AssertionError(process.output)
