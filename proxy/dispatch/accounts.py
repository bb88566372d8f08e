"""What the deployments of one account share: a login, and a quota."""

import ssl
from typing import TYPE_CHECKING

from proxy.config import Config
from proxy.dispatch.credentials import ClientCredentials, LoginObserver
from proxy.dispatch.quota.ledger import Allowance, Ledger
from proxy.dispatch.quota.memory import MemoryLedger
from proxy.dispatch.quota.queue import Queue, QueueObserver
from proxy.dispatch.transport import Transport

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.dispatch.quota.sharing import Sharing

MINUTE_S = 60.0
NO_QUOTA_TIMEOUT_S = 60.0
"""How long a pause after a refusal of StackSpot's is waited for where no quota is configured."""


class Accounts:
    """The logins and quotas of all accounts. With ``sharing`` the quotas are those of all replicas together."""

    def __init__(
        self,
        config: Config,
        transport: Transport,
        login_observer: LoginObserver,
        queue_observer: QueueObserver,
        sharing: "Sharing | None",
    ) -> None:
        self._quota = config.quota
        self._transport = transport
        self._login_observer = login_observer
        self._queue_observer = queue_observer
        self._sharing = sharing
        self._logins: dict[tuple[str, str, str], ClientCredentials] = {}
        self._queues: dict[str, Queue] = {}

    def login(
        self, url: str, client_id: str, client_secret: str, tls: ssl.SSLContext | bool = True
    ) -> ClientCredentials:
        """One login for all that use the same client of the same realm; ``url`` is the realm's."""
        same = (url, client_id, client_secret)
        found = self._logins.get(same)
        if found is None:
            observer = self._login_observer
            found = ClientCredentials(self._transport, url, client_id, client_secret, observer, tls=tls)
            self._logins[same] = found
        return found

    def queue(self, account: str) -> Queue:
        """One queue for all that the upstream counts together. Without a configured quota only its refusals count."""
        found = self._queues.get(account)
        if found is None:
            quota = self._quota
            requests, concurrent = (quota.requests_per_minute, quota.max_concurrent) if quota else (None, None)
            ledger = self.ledger(account, Allowance(requests, concurrent, MINUTE_S))
            found = Queue(ledger, quota.queue_timeout if quota else NO_QUOTA_TIMEOUT_S, self._queue_observer)
            self._queues[account] = found
        return found

    def ledger(self, account: str, allowance: Allowance) -> Ledger:
        """The book of what is sent for an account; to be asked for before anything is shared."""
        return self._sharing.ledger(account, allowance) if self._sharing else MemoryLedger(allowance)

    async def close(self) -> None:
        for login in self._logins.values():
            await login.close()
        for queue in self._queues.values():
            await queue.close()
