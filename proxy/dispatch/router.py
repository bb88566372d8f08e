"""From a model's name to the deployment that serves it."""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proxy.core.dialect import Upstream
from proxy.dispatch.credentials import Credential
from proxy.errors import UnknownModel


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model as it is served: a dialect, a credential and where to send to.

    ``name`` is the configured model name; ``label`` is ``provider/target``, for headers and logs.
    """

    name: str
    provider: str
    label: str
    base_url: str
    upstream: Upstream
    credential: Credential
    tls: ssl.SSLContext | bool = True
    """How the server's certificate is checked; False is not at all."""
    aliases: tuple[str, ...] = ()


class Router:
    """Finds deployments by name. Aliases may hold ``*``; an exact name wins over them."""

    def __init__(self, deployments: Iterable[Deployment]) -> None:
        self._exact: dict[str, Deployment] = {}
        self._patterns: list[tuple[str, Deployment]] = []
        for deployment in deployments:
            for name in (deployment.name, *deployment.aliases):
                if "*" in name:
                    self._patterns.append((name, deployment))
                else:
                    self._exact[name] = deployment

    @property
    def names(self) -> Mapping[str, Deployment]:
        """Every name and alias that can be sent as it is."""
        return self._exact

    def find(self, model: str) -> Deployment:
        """Raises ``UnknownModel``, which lists the names."""
        if found := self._exact.get(model):
            return found
        for pattern, deployment in self._patterns:
            if fnmatchcase(model, pattern):
                return deployment
        known = ", ".join([*self._exact, *(pattern for pattern, _ in self._patterns)])
        raise UnknownModel(f"the model {model[:128]!r} is not configured; configured are: {known}", param="model")
