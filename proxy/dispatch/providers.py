"""The providers: each a row that says how a model of the config becomes a deployment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.config import Config, Model
from proxy.core.dialect import Upstream
from proxy.core.filters.markers import ToolPolicy
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch.credentials import BearerKey, ClientCredentials, Credential, LoginObserver
from proxy.dispatch.router import Deployment
from proxy.dispatch.transport import Transport


@dataclass(frozen=True, slots=True)
class Provider:
    """A dialect, a credential and an address, each chosen by what the config says of a model."""

    dialect: Callable[[Model, Config], Upstream]
    base_url: Callable[[Config], str]
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
        base_url=provider.base_url(config),
        upstream=provider.dialect(model, config),
        credential=provider.credential(model, config, logins),
        aliases=model.aliases,
    )


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
        return BearerKey(model.api_key)
    url = f"{config.idm_url}/{model.realm or 'demo'}/oidc/oauth/token"
    return logins.client_credentials(url, model.client_id or "demo", model.client_secret or "demo")


PROVIDERS: Mapping[str, Provider] = {
    "stackspot": Provider(_stackspot, lambda config: config.api_url, _stackspot_credential),
}
