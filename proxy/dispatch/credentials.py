"""What an upstream wants to see before it answers: nothing, a key, or a token that is logged in for."""

import asyncio
import ssl
import time
from typing import Protocol
from urllib.parse import urlencode

import orjson

from proxy.config.secrets import ISSUED
from proxy.dispatch.transport import Transport
from proxy.errors import (
    ConnectTimeout,
    ProxyError,
    UpstreamAuth,
    UpstreamDisconnected,
    UpstreamFailed,
    UpstreamUnreachable,
)

DEFAULT_LIFETIME_S = 300.0  # for an answer without a usable expires_in
LOGIN_TIMEOUT_S = 20.0
RENEW_EARLY_S = 60.0
FAILURE_MEMORY_S = 2.0
RENEWAL_INTERVAL_S = 30.0
"""Refusals cause at most one login in so long."""


class Credential(Protocol):
    async def authorization(self) -> str | None:
        """The value of the Authorization header. Raises ``ProxyError`` when there is none to be had."""

    async def renew(self, refused: str | None) -> str | None:
        """Another value for a request whose ``refused`` one the upstream did not accept; None if there is no other,
        so that the refusal is final. Raises ``ProxyError`` when the login that was tried failed."""


class LoginObserver(Protocol):
    def login(self, outcome: str, seconds: float, error: ProxyError | None) -> None: ...


class NoCredential:
    async def authorization(self) -> str | None:
        return None

    async def renew(self, refused: str | None) -> str | None:
        return None


def stackspot_key(key: str) -> str:
    """A ready key of StackSpot: ``sk-`` is put in front when it is missing, unless the key is a JWT."""
    is_jwt = key.startswith("ey") and key.count(".") == 2
    return key if key.startswith("sk-") or is_jwt else f"sk-{key}"


class BearerKey:
    """A ready key."""

    def __init__(self, key: str) -> None:
        self._authorization = f"Bearer {key}"

    async def authorization(self) -> str:
        return self._authorization

    async def renew(self, refused: str | None) -> str | None:
        return None


class ClientCredentials:
    """A token by the client-credentials grant, kept until shortly before it expires.

    However many requests wait for it, one login is under way; it belongs to none of them, so a caller that
    leaves does not take it along. A failed login is remembered for a moment instead of being repeated by
    everyone who waits.
    """

    def __init__(
        self,
        transport: Transport,
        url: str,
        client_id: str,
        client_secret: str,
        observer: LoginObserver,
        *,
        tls: ssl.SSLContext | bool = True,
        timeout: float = LOGIN_TIMEOUT_S,
        failure_memory: float = FAILURE_MEMORY_S,
        renewal_interval: float = RENEWAL_INTERVAL_S,
    ) -> None:
        self._transport = transport
        self._url = url
        self._form = urlencode(
            {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        ).encode()
        self._observer = observer
        self._tls = tls
        self._timeout = timeout
        self._failure_memory = failure_memory
        self._renewal_interval = renewal_interval
        self._renewable_at = 0.0
        self._authorization: str | None = None
        self._renew_at = 0.0
        self._expires_at = 0.0
        self._login: asyncio.Task[str] | None = None
        self._failure: tuple[float, ProxyError] | None = None

    async def authorization(self) -> str:
        now = time.monotonic()
        if self._authorization is not None and now < self._expires_at:
            if now >= self._renew_at and not self._failed_lately(now):
                self._start_login()
            return self._authorization
        if failure := self._failed_lately(now):
            raise failure
        return await asyncio.shield(self._start_login())

    async def renew(self, refused: str | None) -> str | None:
        """Log in because of a refusal, at most once in ``RENEWAL_INTERVAL_S`` for all agents of the account.

        The agents share the token, so one that refuses every token must not take it from the others: the token stays
        in use until the login has succeeded, and a refusal within the interval concerns its agent alone. Requests
        refused together wait for one login.
        """
        if refused != self._authorization:
            return self._authorization  # it was replaced while the request was under way
        now = time.monotonic()
        if self._login is None or self._login.done():
            if now < self._renewable_at or self._failed_lately(now):
                return None
            self._renewable_at = now + self._renewal_interval
        return await asyncio.shield(self._start_login())

    async def close(self) -> None:
        """Gives up a login that is under way."""
        if self._login is not None and not self._login.done():
            self._login.cancel()
            await asyncio.wait([self._login])

    def _failed_lately(self, now: float) -> ProxyError | None:
        return self._failure[1] if self._failure and now < self._failure[0] else None

    def _start_login(self) -> asyncio.Task[str]:
        if self._login is None or self._login.done():
            self._login = asyncio.create_task(self._fetch())
            self._login.add_done_callback(_retrieve)
        return self._login

    async def _fetch(self) -> str:
        started = time.monotonic()
        try:
            token, lifetime = await self._request_in_time()
        except ProxyError as error:
            self._failure = (time.monotonic() + self._failure_memory, error)
            self._observer.login("failed", time.monotonic() - started, error)
            raise
        self._failure = None
        ISSUED.remember(self, token)
        self._authorization = f"Bearer {token}"
        self._expires_at = started + lifetime * 0.95
        self._renew_at = started + max(lifetime - RENEW_EARLY_S, lifetime * 0.8)
        self._observer.login("succeeded", time.monotonic() - started, None)
        return self._authorization

    async def _request_in_time(self) -> tuple[str, float]:
        """One login serves everybody who waits: one that hangs must not hold them all for ever."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._request()
        except TimeoutError:
            raise ConnectTimeout(f"the login did not answer within {self._timeout:g} s") from None

    async def _request(self) -> tuple[str, float]:
        """A token and its lifetime in seconds."""
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        try:
            reply = await self._transport.post(self._url, headers, self._form, self._tls)
        except UpstreamDisconnected as error:  # a login may be repeated: it generates nothing
            raise UpstreamUnreachable(error.message) from None
        try:
            body = await reply.read_limited()
        finally:
            reply.close()
        if reply.status >= 500:
            raise UpstreamFailed(f"the login answered {reply.status}", status=reply.status)
        if reply.status == 429:
            raise UpstreamFailed("the login is limited just now")
        if reply.status != 200:
            suspects = "REALM and STACKSPOT_IDM_URL" if reply.status == 404 else "CLIENT_ID, CLIENT_SECRET and REALM"
            raise UpstreamAuth(f"the login was refused with {reply.status}: check {suspects} of the proxy")
        try:
            answer = orjson.loads(body)
            token, lifetime = answer["access_token"], float(answer.get("expires_in") or 0)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise UpstreamFailed("the login answered without a token") from None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise UpstreamFailed("the login answered with something that is no token")
        return token, lifetime if 0 < lifetime < float("inf") else DEFAULT_LIFETIME_S


def _retrieve(task: asyncio.Task[str]) -> None:
    """A login that nobody waits for any more may fail without a word: its observer was told."""
    if not task.cancelled():
        task.exception()
