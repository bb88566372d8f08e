"""What the deployments of one account share: a login, and a quota."""

import ssl
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from proxy.config.settings import Quota
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
    """The logins and quotas of all accounts. With ``sharing`` the quotas are those of all replicas together.

    It outlives configurations: a token that is still good and the requests that were counted do for the next one. A
    login goes with the last deployment that uses it; a quota's book stays, so that nothing can be had twice.
    """

    def __init__(
        self,
        transport: Transport,
        login_observer: LoginObserver,
        queue_observer: QueueObserver,
        sharing: "Sharing | None",
    ) -> None:
        self._transport = transport
        self._login_observer = login_observer
        self._queue_observer = queue_observer
        self._sharing = sharing
        self._logins: WeakValueDictionary[tuple[object, ...], ClientCredentials] = WeakValueDictionary()
        self._queues: dict[str, Queue] = {}
        self._ledgers: dict[str, Ledger] = {}

    def login(
        self, url: str, client_id: str, client_secret: str, tls: ssl.SSLContext | bool = True
    ) -> ClientCredentials:
        """One login for all that use the same client of the same realm; ``url`` is the realm's."""
        same = (url, client_id, client_secret, tls)
        found = self._logins.get(same)
        if found is None:
            observer = self._login_observer
            found = ClientCredentials(self._transport, url, client_id, client_secret, observer, tls=tls)
            self._logins[same] = found
        return found

    def queue(self, account: str, quota: Quota | None) -> Queue:
        """One queue for all that the upstream counts together. Without a quota only its refusals count."""
        requests, concurrent = (quota.requests_per_minute, quota.max_concurrent) if quota else (None, None)
        allowance = Allowance(requests, concurrent, MINUTE_S)
        timeout = quota.queue_timeout if quota else NO_QUOTA_TIMEOUT_S
        found = self._queues.get(account)
        if found is None:
            found = Queue(self.ledger(account, allowance), timeout, self._queue_observer)
            self._queues[account] = found
        else:
            found.change(allowance, timeout)
        return found

    def ledger(self, account: str, allowance: Allowance) -> Ledger:
        """The book of what is sent for an account."""
        found = self._ledgers.get(account)
        if found is None:
            found = self._sharing.ledger(account, allowance) if self._sharing else MemoryLedger(allowance)
            self._ledgers[account] = found
        else:
            found.allow(allowance)
        return found

    async def close(self) -> None:
        for login in list(self._logins.values()):
            await login.close()
        for queue in self._queues.values():
            await queue.close()
