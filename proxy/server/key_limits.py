"""How many requests a minute callers' keys may make."""

import itertools
import math
from collections.abc import Iterable

from proxy.config.settings import ApiKey
from proxy.dispatch.accounts import MINUTE_S, Accounts
from proxy.dispatch.quota.ledger import Allowance
from proxy.errors import KeyLimitExceeded

LONGEST_WAIT_S = 60
_TICKETS = itertools.count(1)
"""Never used twice, since a key's book outlives the configuration."""


class KeyLimits:
    """A window of its own for each key that has a limit, shared by replicas like the accounts' quotas."""

    def __init__(self, keys: Iterable[ApiKey], accounts: Accounts) -> None:
        self._ledgers = {
            key.name: accounts.ledger(f"key:{key.name}", Allowance(key.requests_per_minute, None, MINUTE_S))
            for key in keys
            if key.requests_per_minute is not None
        }

    async def admit(self, name: str) -> None:
        """Counts a request of this key. Raises ``KeyLimitExceeded``."""
        ledger = self._ledgers.get(name)
        if ledger is None:
            return
        ticket = str(next(_TICKETS))
        reservation = await ledger.reserve(ticket, 0)
        if reservation.outcome == "started":
            ledger.finish(ticket)
            return
        ledger.cancel(ticket)
        wait = min(max(math.ceil(reservation.wait), 1), LONGEST_WAIT_S)
        raise KeyLimitExceeded(f"the key has had its {ledger.allowance.requests} requests a minute", retry_after=wait)
