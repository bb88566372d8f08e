"""A model as it is served: a dialect, a credential and where to send to."""

import ssl
from dataclasses import dataclass

from proxy.core.dialect import Upstream
from proxy.dispatch.credentials import Credential
from proxy.dispatch.health import Health
from proxy.dispatch.quota.queue import Queue


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """``name`` is the configured model name, which several may share by their ``weight``; ``label`` is
    ``provider/target``, for headers and logs."""

    name: str
    provider: str
    label: str
    base_url: str
    upstream: Upstream
    credential: Credential
    health: Health
    quota: Queue | None = None
    """Where its requests wait for their turn, shared by all deployments of an account."""
    weight: float = 1
    tls: ssl.SSLContext | bool = True
    """How the server's certificate is checked; False is not at all."""
    aliases: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """What the provider calls it."""
        return self.label.removeprefix(f"{self.provider}/")
