"""A real redis-server, for the tests of what replicas share."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.tools import require


class RedisServer(Process):
    """Keeps nothing on disk. ``url`` is what REDIS_URL would be."""

    def __init__(self, cwd: Path, *, port: int | None = None, password: str | None = None) -> None:
        self.port = port or free_port()
        secret = ["--requirepass", password] if password else []
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *secret]
        super().__init__(["redis-server", *options], {}, cwd)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.wait_for("Ready to accept connections")

    def hang(self) -> None:
        """It still takes connections and commands, and answers none."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests, each of which uses a prefix of its own."""
    require("redis")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts one that the test may stop and let hang as it likes, before the time that it needs one."""
    require("redis")
    started: list[RedisServer] = []

    def start(*, port: int | None = None, password: str | None = None) -> RedisServer:
        started.append(RedisServer(tmp_path, port=port, password=password))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.go_on()
            server.stop()
