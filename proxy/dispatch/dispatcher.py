"""Signs and sends a request to a deployment."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from proxy.core.dialect import Outgoing
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.quota.queue import Admission
from proxy.dispatch.retry_after import in_seconds
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

    async def admission(
        self, deployment: Deployment, caller: str, *, has_fallback: bool = False
    ) -> AbstractAsyncContextManager[None] | Admission:
        """A context: entering waits until the deployment's quota allows another request, which is under way until it
        is left; where the request ``has_fallback``, not for long. ``caller`` is the name of the caller's key: keys take
        turns. Entering raises ``QuotaExceeded``; this what a login failed with."""
        await deployment.credential.authorization()  # a login before the turn comes, not between it and the request
        quota = deployment.quota
        return _AT_ONCE if quota is None else quota.admit(caller, has_fallback=has_fallback)

    async def send(
        self,
        deployment: Deployment,
        outgoing: Outgoing,
        headers: Mapping[str, str],
        admission: Admission | None,
        on_send: Callable[[], None] = lambda: None,
    ) -> Reply:
        """The upstream's answer to a request, its body still to be read; it is a context, to be left at the end.

        ``headers`` go along with the dialect's own. ``admission`` is what the context of that name was entered with.
        After a refused credential the request is sent once more if another credential is to be had; since the upstream
        counts both, it waits for its turn again. ``on_send`` is called once there is a credential, before anything goes
        out. Raises ``Refused`` for an answer that is a refusal, ``ProxyError``
        when there is none.
        """
        credential = deployment.credential
        authorization = await credential.authorization()
        on_send()
        reply = await self._post(deployment, outgoing, _signed(outgoing, headers, authorization))
        if reply.status == 200:
            return reply
        body = await _read(reply)
        if _is_about_credential(reply.status, body) and (renewed := await credential.renew(authorization)):
            if admission is not None:
                await admission.repeat()
            reply = await self._post(deployment, outgoing, _signed(outgoing, headers, renewed))
            if reply.status == 200:
                return reply
            body = await _read(reply)
        raise Refused(deployment.upstream.refuse(reply.status, in_seconds(reply.headers), body))

    async def _post(self, deployment: Deployment, outgoing: Outgoing, signed: Mapping[str, str]) -> Reply:
        tap = self._recorder.asked(deployment) if self._recorder is not None else None
        url = deployment.base_url + outgoing.path
        reply = await self._transport.post(url, signed, outgoing.body, deployment.tls)
        if tap is not None:
            reply.listen(tap)
        return reply


async def _read(reply: Reply) -> bytes:
    with reply:
        return await reply.read_limited()


def _is_about_credential(status: int, body: bytes) -> bool:
    """A new token may help. StackSpot's clients renew it on a 403 too, which says nothing where no agent is named."""
    return status == 401 or (status == 403 and not body.strip())


def _signed(outgoing: Outgoing, headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    signed = {**outgoing.headers, **headers}
    if authorization is not None:
        signed["authorization"] = authorization
    return signed
