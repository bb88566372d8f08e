"""The providers: each a row that says how a model of the config becomes a deployment."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from proxy.config import Config, Model
from proxy.config.providers import OPENAI_COMPATIBLE, STACKSPOT, OpenAICompatible
from proxy.core.dialect import Upstream
from proxy.core.tool_calls.filter import ToolPolicy
from proxy.core.upstreams.openai import OpenAI
from proxy.core.upstreams.stackspot import StackSpot
from proxy.dispatch.accounts import Accounts
from proxy.dispatch.cooldowns import Cooldowns
from proxy.dispatch.credentials import BearerKey, Credential, NoCredential, stackspot_key
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.health import Health


def _nobody(_: Model, __: Config) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Provider:
    """A dialect, an address, a credential and whose quota counts, each chosen by what the config says of a model.

    ``account`` names what the upstream counts requests by; None where it does not, or says by itself when to wait.
    """

    dialect: Callable[[Model, Config], Upstream]
    base_url: Callable[[Model, Config], str]
    credential: Callable[[Model, Config, Accounts], Credential]
    account: Callable[[Model, Config], str | None] = _nobody


def deploy(
    model: Model, config: Config, providers: Mapping[str, Provider], accounts: Accounts, cooldowns: Cooldowns
) -> Deployment:
    """The deployment of one model of the config."""
    provider, routing = providers[model.provider], config.routing
    account, base_url = provider.account(model, config), provider.base_url(model, config)
    same = f"{model.name}|{base_url}|{model.target}|{model.agent_id}|{account}"  # to all replicas
    return Deployment(
        name=model.name,
        provider=model.provider,
        label=f"{model.provider}/{model.target}",
        base_url=base_url,
        upstream=provider.dialect(model, config),
        credential=provider.credential(model, config, accounts),
        health=Health(same, routing.allowed_fails, routing.cooldown_time, cooldowns),
        quota=accounts.queue(account, config.quota) if account else None,
        weight=model.weight,
        tls=_tls(model.ssl_verify),
        aliases=model.aliases,
    )


def _tls(ssl_verify: bool | str) -> ssl.SSLContext | bool:
    if not isinstance(ssl_verify, str):
        return ssl_verify
    return _trusting(ssl_verify, sha256(Path(ssl_verify).read_bytes()).digest())


@lru_cache(maxsize=32)
def _trusting(bundle: str, _digest: bytes) -> ssl.SSLContext:
    """One for all that trust the same file, as long as that stays as it is."""
    return ssl.create_default_context(cafile=bundle)


def _stackspot(model: Model, config: Config) -> StackSpot:
    tools = config.tools
    return StackSpot(
        name=model.name,
        agent_id=model.agent_id or "demo",
        secret=(model.client_secret or model.api_key or "demo").encode(),
        tools=ToolPolicy(
            keep_text=tools.keep_text,
            stream_arguments=tools.stream_arguments,
            max_arguments=int(tools.max_arguments_kb * 1024),
            show_reasoning=tools.reasoning == "show",
        ),
        end_marker=model.end_marker,
        remembers=model.conversation is not None,
        enforce_max_tokens=config.enforce_max_tokens,
    )


def _stackspot_credential(model: Model, config: Config, accounts: Accounts) -> Credential:
    if _has_ready_key(model):
        return BearerKey(stackspot_key(model.api_key or ""))
    url = f"{config.idm_url}/{model.realm or 'demo'}/oidc/oauth/token"
    return accounts.login(url, model.client_id or "demo", model.client_secret or "demo", _tls(model.ssl_verify))


def _stackspot_account(model: Model, _: Config) -> str:
    if _has_ready_key(model):
        return f"key-{sha256((model.api_key or '').encode()).hexdigest()[:16]}"
    return f"{model.realm}/{model.client_id}"


def _has_ready_key(model: Model) -> bool:
    return bool(model.api_key) and not model.client_secret


def _openai(model: Model, _: Config) -> OpenAI:
    return OpenAI(name=model.name, model=model.target, collect=model.collect)


def _key(model: Model, _: Config, __: Accounts) -> Credential:
    return BearerKey(model.api_key) if model.api_key else NoCredential()


def _openai_compatible(row: OpenAICompatible) -> Provider:
    return Provider(_openai, lambda model, _: model.api_base or row.api_base, _key)


PROVIDERS: Mapping[str, Provider] = {
    STACKSPOT: Provider(
        _stackspot,
        lambda model, config: model.api_base or config.api_url,
        _stackspot_credential,
        _stackspot_account,
    ),
    **{name: _openai_compatible(row) for name, row in OPENAI_COMPATIBLE.items()},
}
