"""Takes over a configuration that has changed, while requests go on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

import structlog

from proxy.config import Config, ConfigError
from proxy.config.files import Watch, digests
from proxy.config.safeguards import check_successor
from proxy.server.service import Service
from proxy.server.threads import in_daemon_thread
from proxy.telemetry import events

log = structlog.get_logger()

LOOK_EVERY_S = 0.5
RETRY_S = 10.0
"""A configuration that cannot be used is read again after so long: what it wants may have come, where nobody looks."""
FIXED = {
    "host": "PROXY_HOST",
    "port": "PROXY_PORT",
    "admin": "proxy.admin",
    "redis_url": "REDIS_URL",
    "log_level": "LOG_LEVEL",
    "log_format": "LOG_FORMAT",
    "otel": "OTEL_*",
}
"""Settings that stay as they were at the start, and their names for people."""


class Reload:
    """Looks at the files that the configuration was read from. ``load`` reads it again."""

    def __init__(self, service: Service, load: Callable[[], Config]) -> None:
        self._service = service
        self._load = load
        self._asked = asyncio.Event()
        self._watch = Watch(service.config.files)
        self._failure: str | None = None

    def ask(self) -> None:
        """Reads it again, changed or not."""
        self._asked.set()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """While the context lasts the service follows its files."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        retry_at = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._asked.wait()
            try:
                now = await self._look()
            except OSError as error:  # out of descriptors or memory: nothing is known of the files
                if self._asked.is_set():
                    self._asked.clear()
                    self._failed(f"no file can be read: {error.strerror}", self._watch.read)
                continue
            changed = self._watch.look(now)
            retried = self._failure is not None and time.monotonic() >= retry_at
            if asked := self._asked.is_set():
                self._failure = None  # who asks is told, again if need be
                self._asked.clear()
            if changed or retried or asked:
                await self._reload(now, asked=asked)
                retry_at = time.monotonic() + RETRY_S

    async def _look(self) -> dict[str, str | None]:
        """The digests of the files. Raises ``OSError`` when no file can be read."""
        return await in_daemon_thread(partial(digests, self._watch.read))

    async def _reload(self, now: dict[str, str | None], *, asked: bool) -> None:
        try:
            loaded = await in_daemon_thread(self._load)
            check_successor(self._service.config, loaded)
            config, kept = _steady(self._service.config, loaded)
            await self._service.turn_to(config)
        except ConfigError as error:
            if asked or await self._readable():
                self._failed(str(error), now)
        except Exception as error:  # the boundary of a reload: whatever it is, the proxy goes on as it was
            log.error("request.failed", exc_info=error)
            self._failed("the proxy failed; its log says why", now)
        else:
            self._watch, self._failure = Watch(config.files), None
            self._service.lasting.metrics.reloaded("succeeded")
            events.configured(config, "config.reloaded")
            for name in kept:
                log.warning("config.restart_needed", setting=name)

    async def _readable(self) -> bool:
        """Files can be read, so that a configuration that cannot is at fault itself."""
        try:
            await self._look()
        except OSError:
            return False
        return True

    def _failed(self, reason: str, now: Mapping[str, str | None]) -> None:
        again = self._failure == reason and self._watch.read == now
        self._watch, self._failure = Watch(now), reason
        if not again:
            self._service.lasting.metrics.reloaded("failed")
            log.error("config.reload_failed", reason=reason)


def _steady(old: Config, new: Config) -> tuple[Config, list[str]]:
    """``new`` with what cannot change while the proxy runs as it is in ``old``, and the names of what would have."""
    kept = {field: getattr(old, field) for field in FIXED if getattr(old, field) != getattr(new, field)}
    names = [FIXED[field] for field in kept]
    if (old.tls is None) != (new.tls is None):
        kept["tls"] = old.tls
        names.append("proxy.tls")
    return replace(new, **kept), names
