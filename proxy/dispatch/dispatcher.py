"""Signs and sends a request to a deployment."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from proxy.core.dialect import Outgoing
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.transport import Reply, Tap, Transport
from proxy.errors import ProxyError

_AT_ONCE = nullcontext()


class Refused(Exception):
    """The upstream answered, and would not have the request."""

    def __init__(self, error: ProxyError) -> None:
        super().__init__(str(error))
        self.error = error


class Recorder(Protocol):
    """Keeps what upstreams send."""

    def asked(self, deployment: Deployment) -> Tap | None:
        """A request is about to go out; what is given listens in on its reply."""


class Dispatcher:
    """With a ``recorder`` every reply is recorded."""

    def __init__(self, transport: Transport, recorder: Recorder | None = None) -> None:
        self._transport = transport
        self._recorder = recorder

    async def admission(self, deployment: Deployment, caller: str) -> AbstractAsyncContextManager[None]:
        """A context: entering waits until the deployment's quota allows another request, which is under way until it
        is left. ``caller`` is the name of the caller's key: keys take turns. Entering raises ``QuotaExceeded``; this
        what a login failed with."""
        await deployment.credential.authorization()  # a login before the turn comes, not between it and the request
        return _AT_ONCE if deployment.quota is None else deployment.quota.admit(caller)

    async def send(
        self,
        deployment: Deployment,
        outgoing: Outgoing,
        headers: Mapping[str, str],
        on_send: Callable[[], None] = lambda: None,
    ) -> Reply:
        """The upstream's answer to a request, its body still to be read; it is a context, to be left at the end.

        ``headers`` go along with the dialect's own. A credential that is refused is renewed once. ``on_send`` is called
        once there is a credential, before anything goes out. Raises ``Refused`` for an answer that is a refusal,
        ``ProxyError`` when there is none.
        """
        reply = await self._open(deployment, outgoing, headers, on_send)
        if reply.status == 200:
            return reply
        with reply:
            raise Refused(deployment.upstream.refuse(reply.status, reply.headers, await reply.read_limited()))

    async def _open(
        self, deployment: Deployment, outgoing: Outgoing, headers: Mapping[str, str], on_send: Callable[[], None]
    ) -> Reply:
        credential = deployment.credential
        authorization = await credential.authorization()
        on_send()
        reply = await self._post(deployment, outgoing, _signed(outgoing, headers, authorization))
        if reply.status == 401 and credential.invalidate(authorization):
            reply.close()
            signed = _signed(outgoing, headers, await credential.authorization())
            reply = await self._post(deployment, outgoing, signed)
        return reply

    async def _post(self, deployment: Deployment, outgoing: Outgoing, signed: Mapping[str, str]) -> Reply:
        tap = self._recorder.asked(deployment) if self._recorder is not None else None
        url = deployment.base_url + outgoing.path
        reply = await self._transport.post(url, signed, outgoing.body, deployment.tls)
        if tap is not None:
            reply.listen(tap)
        return reply


def _signed(outgoing: Outgoing, headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    signed = {**outgoing.headers, **headers}
    if authorization is not None:
        signed["authorization"] = authorization
    return signed
