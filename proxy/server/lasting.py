"""What outlives a configuration: connections, tokens, what was counted, and the answers under way."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.config import Config, ConfigError
from proxy.config.listeners import certified
from proxy.config.settings import Tls
from proxy.dispatch.accounts import Accounts
from proxy.dispatch.cache.store import MemoryStore, Store
from proxy.dispatch.cooldowns import Cooldowns, LocalCooldowns
from proxy.dispatch.transport import Transport
from proxy.server.admission import Admission
from proxy.server.batch import Batch
from proxy.server.state import State
from proxy.server.watchdog import Watchdog
from proxy.telemetry.events import ConnectionEvents, LoginEvents, SharingEvents
from proxy.telemetry.metrics import Metrics

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.dispatch.quota.sharing import Sharing


class Lasting:
    """Made once, with the first configuration; every application that follows is built upon it. Needs a running event
    loop, since it opens connections."""

    def __init__(self, config: Config) -> None:
        self.state = State()
        self.metrics = metrics = Metrics()
        self.sharing = _sharing(config.redis_url, SharingEvents(metrics)) if config.redis_url else None
        self.transport = Transport(config.timeouts.connect)
        self.accounts = Accounts(self.transport, LoginEvents(metrics), metrics, self.sharing)
        self.cooldowns: Cooldowns = self.sharing or LocalCooldowns()
        self.store = _store(self.sharing)
        self.watchdog = Watchdog(metrics.looked)
        self.admission = Admission()
        self.batch = Batch()
        self.connections = ConnectionEvents(metrics)
        metrics.streams.set_function(lambda: len(self.watchdog))
        self.tls = certified(config.tls) if config.tls is not None else None
        self._watching: asyncio.Task[None] | None = None

    def adopt(self, config: Config) -> None:
        """From now on ``config`` counts."""
        self.transport.limit(config.timeouts.connect)

    def renew(self, tls: Tls | None) -> None:
        """Shows these certificates to whoever connects from now on. Raises ``ConfigError`` for files that cannot be
        served with; nothing has changed then."""
        if self.tls is None or tls is None:
            return
        try:
            certified(tls)  # what cannot be served with must not get half into what serves
            self.tls.load_cert_chain(tls.cert, tls.key)
        except (OSError, ValueError) as error:
            raise ConfigError(f"proxy.tls: {tls.cert} and {tls.key} cannot be served with: {error}") from None

    async def start(self) -> None:
        self._watching = asyncio.create_task(self.watchdog.run())
        if self.sharing:
            await self.sharing.start()
        self.state.started = True

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self.accounts.close()
        if self.sharing:
            await self.sharing.close()
        await self.transport.close()


def _store(sharing: "Sharing | None") -> Store:
    if sharing is None:
        return MemoryStore()
    from proxy.dispatch.cache.redis_store import RedisStore

    return RedisStore(sharing.connection)


def _sharing(url: str, observer: SharingEvents) -> "Sharing":
    try:
        from proxy.dispatch.quota.sharing import Sharing
    except ImportError:
        missing = "REDIS_URL is set, but the package redis is missing: pip install 'stackspot-proxy[redis]'"
        raise ConfigError(missing) from None
    try:
        return Sharing(url, observer)
    except ValueError as error:
        raise ConfigError(f"REDIS_URL: {error}") from None
