"""The connection of this process to Redis, which may be away at any time. Needs the extra ``redis``."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

T = TypeVar("T")


BACKSTOP = 3
"""A command ends by the time-outs of its connection, which closes in order then. Connecting, greeting and answering
each have one; a Redis that takes its time with all of them is given up after so many."""


class Away(Exception):
    """Redis did not do it."""


class ErrorReply(Away):
    """Redis is there and did not carry out a command: a key is of another type, for example."""


class Connection:
    """``up`` says whether to ask Redis at all. The first command that gets no answer takes it down and tells ``lost``
    why, without the password; whoever finds Redis alive sets it again. An error reply concerns its command alone:
    ``refused`` is told why. ``timeout`` is in seconds. ``replica`` is the name of this process."""

    def __init__(
        self, url: str, prefix: str, timeout: float, lost: Callable[[str], None], refused: Callable[[str], None]
    ) -> None:
        self.replica = uuid.uuid4().hex[:12]
        self.up = False
        self._prefix = prefix
        self._password = urlsplit(url).password
        self._timeout = timeout
        self._lost = lost
        self._refused = refused
        self._tasks: set[asyncio.Task[Any]] = set()
        self._redis = Redis.from_url(
            url, socket_connect_timeout=timeout, socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def script(self, name: str, package: str = __package__) -> "Script":
        """A Lua script of a package, by its file's name."""
        return Script(self, self._redis.register_script(source(name, package)))

    def keys(self, group: str, names: Sequence[str]) -> list[str]:
        """Keys of ours. On a cluster those of a group live on one node, as a script needs it."""
        return [f"{self._prefix}:{{{group}}}:{name}" for name in names]

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Raises ``Away``."""
        found: list[Any] = await self.run(self._redis.mget(keys))
        return found

    async def run(self, command: Awaitable[T]) -> T:
        """Raises ``Away``, or ``ErrorReply``, which is one."""
        try:
            async with asyncio.timeout(BACKSTOP * self._timeout):
                return await command
        except ResponseError as error:
            self._refused(self._words(error))
            raise ErrorReply(self._words(error)) from None
        except Exception as error:  # whatever it is, requests go on without Redis
            self.give_up(self._words(error))
            raise Away from None

    def give_up(self, reason: str) -> None:
        """Redis is not asked any more until somebody finds it alive."""
        self.up = False
        self._lost(reason)

    async def unbroken(self, work: Coroutine[Any, Any, T]) -> T:
        """Does it to its end, although whoever asks for it may leave: a command that is broken off costs its
        connection, and nobody knows whether Redis carried it out."""
        return await asyncio.shield(self.spawn(work))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Waits for what is under way, a few time-outs at most, and closes the connection."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.up = False
        await self._redis.aclose()

    def _words(self, error: Exception) -> str:
        words = str(error) or "no answer"
        for secret in {self._password or "", unquote(self._password or "")} - {""}:
            words = words.replace(secret, "***")
        return f"{type(error).__name__}: {words}"


class Script:
    def __init__(self, connection: Connection, script: AsyncScript) -> None:
        self._connection = connection
        self._script = script

    async def __call__(self, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Raises ``Away``."""
        return await self._connection.run(self._script(keys, arguments))


def source(name: str, package: str = __package__) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
