"""The providers: each a row that says how a model of the config becomes a deployment."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.config import Config, Model
from proxy.config.providers import OPENAI_COMPATIBLE, STACKSPOT, OpenAICompatible
from proxy.core.dialect import Upstream
from proxy.core.filters.markers import ToolPolicy
from proxy.core.upstreams.openai import OpenAI
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch.credentials import (
    BearerKey,
    ClientCredentials,
    Credential,
    LoginObserver,
    NoCredential,
    stackspot_key,
)
from proxy.dispatch.router import Deployment
from proxy.dispatch.transport import Transport


@dataclass(frozen=True, slots=True)
class Provider:
    """A dialect, an address and a credential, each chosen by what the config says of a model."""

    dialect: Callable[[Model, Config], Upstream]
    base_url: Callable[[Model, Config], str]
    credential: Callable[[Model, Config, "Logins"], Credential]


class Logins:
    """One login for all deployments that use the same client of the same realm."""

    def __init__(self, transport: Transport, observer: LoginObserver) -> None:
        self._transport = transport
        self._observer = observer
        self._shared: dict[tuple[str, str], ClientCredentials] = {}

    def client_credentials(self, url: str, client_id: str, client_secret: str) -> ClientCredentials:
        found = self._shared.get((url, client_id))
        if found is None:
            found = ClientCredentials(self._transport, url, client_id, client_secret, self._observer)
            self._shared[url, client_id] = found
        return found

    async def close(self) -> None:
        for login in self._shared.values():
            await login.close()


def deploy(model: Model, config: Config, providers: Mapping[str, Provider], logins: Logins) -> Deployment:
    """The deployment of one model of the config."""
    provider = providers[model.provider]
    return Deployment(
        name=model.name,
        provider=model.provider,
        label=f"{model.provider}/{model.target}",
        base_url=provider.base_url(model, config),
        upstream=provider.dialect(model, config),
        credential=provider.credential(model, config, logins),
        tls=_tls(model.ssl_verify),
        aliases=model.aliases,
    )


def _tls(ssl_verify: bool | str) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cafile=ssl_verify) if isinstance(ssl_verify, str) else ssl_verify


def _stackspot(model: Model, config: Config) -> StackSpot:
    tools = config.tools
    return StackSpot(
        name=model.name,
        agent_id=model.agent_id or "demo",
        secret=(model.client_secret or model.api_key or "demo").encode(),
        tools=ToolPolicy(tools.keep_text, tools.stream_arguments, int(tools.max_arguments_kb * 1024)),
        end_marker=model.end_marker,
        remembers=model.conversation is not None,
        enforce_max_tokens=config.enforce_max_tokens,
    )


def _stackspot_credential(model: Model, config: Config, logins: Logins) -> Credential:
    if model.api_key and not model.client_secret:
        return BearerKey(stackspot_key(model.api_key))
    url = f"{config.idm_url}/{model.realm or 'demo'}/oidc/oauth/token"
    return logins.client_credentials(url, model.client_id or "demo", model.client_secret or "demo")


def _openai(model: Model, _: Config) -> OpenAI:
    return OpenAI(name=model.name, model=model.target, collect=model.collect)


def _key(model: Model, _: Config, __: Logins) -> Credential:
    return BearerKey(model.api_key) if model.api_key else NoCredential()


def _openai_compatible(row: OpenAICompatible) -> Provider:
    return Provider(_openai, lambda model, _: model.api_base or row.api_base, _key)


PROVIDERS: Mapping[str, Provider] = {
    STACKSPOT: Provider(_stackspot, lambda model, config: model.api_base or config.api_url, _stackspot_credential),
    **{name: _openai_compatible(row) for name, row in OPENAI_COMPATIBLE.items()},
}
