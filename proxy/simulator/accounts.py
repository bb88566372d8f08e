"""Accounts: the tokens issued to them, when their requests arrived, and the limit on these."""

import base64
import hashlib
import secrets
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

ARRIVALS_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Account:
    """What StackSpot counts requests by. A personal key stands for itself, without realm."""

    realm: str | None
    client_id: str

    def __str__(self) -> str:
        return f"{self.realm}/{self.client_id}" if self.realm else self.client_id


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many requests in any window of so many seconds; those refused do not count."""

    requests: int
    window_s: float


@dataclass(slots=True)
class Tokens:
    """Every token issued, with its account and the second it expires."""

    _issued: dict[str, tuple[Account, float]] = field(default_factory=dict)

    def issue(self, account: Account, lifetime_s: float, now: float) -> str:
        self._issued = {token: entry for token, entry in self._issued.items() if entry[1] > now}
        claims = {"azp": account.client_id, "realm": account.realm, "jti": secrets.token_hex(8)}
        token = ".".join((_part({"alg": "RS256", "typ": "JWT"}), _part(claims), secrets.token_urlsafe(64)))
        self._issued[token] = (account, now + lifetime_s)
        return token

    def account(self, authorization: str, now: float) -> Account | None:
        """Whose request this is, or None if its bearer token is not good."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if token.startswith("sk-"):
            return Account(None, f"key-{hashlib.sha256(token.encode()).hexdigest()[:8]}")
        account, expires = self._issued.get(token, (None, 0.0))
        return account if expires > now else None

    def revoke(self) -> None:
        self._issued.clear()


@dataclass(slots=True)
class Arrivals:
    """When each account's requests came in, refused ones included, and whether one more is let through."""

    times: defaultdict[Account, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=ARRIVALS_KEPT))
    )
    _admitted: defaultdict[Account, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def admit(self, account: Account, limit: RateLimit | None, now: float) -> bool:
        self.times[account].append(now)
        if limit is None:
            return True
        admitted = self._admitted[account]
        while admitted and admitted[0] <= now - limit.window_s:
            admitted.popleft()
        if len(admitted) >= limit.requests:
            return False
        admitted.append(now)
        return True


def sliding_maximum(times: Sequence[float], window_s: float) -> int:
    """The most arrivals in any window of that length; `times` ascend."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def fixed_maximum(times: Sequence[float], window_s: float, start: float = 0.0) -> int:
    """The most arrivals in any of the windows that follow one another from `start`."""
    counts: defaultdict[int, int] = defaultdict(int)
    for time in times:
        counts[int((time - start) // window_s)] += 1
    return max(counts.values(), default=0)


def _part(claims: dict[str, str | None]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
