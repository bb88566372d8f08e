"""A light ping to everything that is configured: a login, a GET, Redis' PING. No model is called."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ssl import create_default_context

from proxy.check.outcome import Check, CheckFailed, Outcome, run_all
from proxy.check.settings import DEFAULT, VARIABLES, origin
from proxy.config import Config, Model
from proxy.config.addresses import masked
from proxy.config.providers import STACKSPOT
from proxy.dispatch.accounts import Accounts
from proxy.dispatch.credentials import ClientCredentials, Credential
from proxy.dispatch.providers import PROVIDERS
from proxy.dispatch.transport import Transport
from proxy.errors import ProxyError, UpstreamAuth

NAMES_SHOWN = 3


async def ping_all(config: Config) -> AsyncIterator[Outcome]:
    """Each ping may take twice as long as a connection: once for that, once for the answer."""
    async with pings(config) as checks:
        async for outcome in run_all(checks, limit=time_limit(config)):
            yield outcome


def time_limit(config: Config) -> float:
    return 2 * config.timeouts.connect


@asynccontextmanager
async def pings(config: Config) -> AsyncIterator[Sequence[Check]]:
    """The checks, each to be run while the context lasts."""
    transport = Transport(config.timeouts.connect)
    unobserved = _Unobserved()
    accounts = Accounts(transport, unobserved, unobserved, None)
    try:
        credentials = [PROVIDERS[model.provider].credential(model, config, accounts) for model in config.models]
        signed = list(zip(config.models, credentials, strict=True))
        checks = [*_logins(config, signed), *_reaches(config, signed, transport)]
        if config.redis_url:
            what = f"Redis at {masked(config.redis_url)}"
            checks.append(Check(what, partial(_ping_redis, config.redis_url), "REDIS_URL"))
        yield checks
    finally:
        await accounts.close()
        await transport.close()


def _logins(config: Config, signed: Sequence[tuple[Model, Credential]]) -> Iterator[Check]:
    """One for each account of StackSpot."""
    seen: set[ClientCredentials] = set()
    for model, credential in signed:
        if isinstance(credential, ClientCredentials) and credential not in seen:
            seen.add(credential)
            what = f"StackSpot's login, realm {model.realm or 'demo'}, client {model.client_id or 'demo'}"
            yield Check(what, partial(_log_in, config, model, credential), _on_the_way(config, "idm_url"))


async def _log_in(config: Config, model: Model, credential: ClientCredentials) -> str:
    try:
        await credential.authorization()
    except UpstreamAuth as error:
        parts = ("realm", "client_id", "client_secret")
        came_from = ", ".join(f"{part} from {origin(config, model, part)}" for part in parts)
        raise CheckFailed(f"{error.reason} ({came_from})") from None
    return "logged in"


def _reaches(config: Config, signed: Sequence[tuple[Model, Credential]], transport: Transport) -> Iterator[Check]:
    """One for each address, key and way to check its certificate."""
    groups: dict[tuple[str, str | None, bool | str], list[tuple[Model, Credential]]] = {}
    for model, credential in signed:
        base_url = PROVIDERS[model.provider].base_url(model, config)
        key = None if model.provider == STACKSPOT else model.api_key
        groups.setdefault((base_url, key, model.ssl_verify), []).append((model, credential))
    for (base_url, _, _), members in groups.items():
        model, credential = members[0]
        what = f"{model.provider} at {base_url} ({_names([member for member, _ in members])})"
        if model.provider == STACKSPOT:
            ready_key = any(not isinstance(own, ClientCredentials) for _, own in members)
            run = partial(_reach_stackspot, model, base_url, ready_key, transport)
        else:
            run = partial(_reach, config, model, base_url, credential, transport)
        own = model.provider == STACKSPOT and model.api_base is None
        yield Check(what, run, _on_the_way(config, "api_url" if own else model))


def _names(models: Sequence[Model]) -> str:
    names = list(dict.fromkeys(model.name for model in models))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _on_the_way(config: Config, address: Model | str) -> str:
    """What may be wrong when nobody answers at an address: that of a model, or a setting."""
    if isinstance(address, Model):
        name, where = "api_base", origin(config, address, "api_base")
    else:
        name, where = VARIABLES[address], config.origins.get(address, DEFAULT)
    return f"{name} ({where}), the network and HTTPS_PROXY"


async def _reach_stackspot(model: Model, url: str, ready_key: bool, transport: Transport) -> str:
    """That its host answers; what a token is good for, only a model call could tell."""
    await _status(model, f"{url}/", {}, transport)
    return "reached; a ready key is not checked without a model call" if ready_key else "reached"


async def _reach(config: Config, model: Model, url: str, credential: Credential, transport: Transport) -> str:
    authorization = await credential.authorization()
    headers = {"authorization": authorization} if authorization else {}
    status = await _status(model, f"{url}/models", headers, transport)
    match status:
        case 200:
            return "reached"
        case 401 | 403 if model.api_key:
            where = origin(config, model, "api_key")
            return f"reached, but it answers {status}: it may not take the key; check api_key (from {where})"
        case 401 | 403:
            return f"reached, but it answers {status}: set api_key"
    return f"reached; it answers {status} to GET /models"


async def _status(model: Model, url: str, headers: dict[str, str], transport: Transport) -> int:
    tls = create_default_context(cafile=model.ssl_verify) if isinstance(model.ssl_verify, str) else model.ssl_verify
    reply = await transport.get(url, headers, tls)
    reply.close()
    return reply.status


async def _ping_redis(url: str) -> str:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import AuthenticationError, RedisError
    except ImportError:
        raise CheckFailed("the package redis is missing: pip install 'stackspot-proxy[redis]'") from None
    try:
        client = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        try:
            await client.ping()
        finally:
            await client.aclose()
    except AuthenticationError as error:
        raise CheckFailed(f"it does not take the password: {_words(error)}; check REDIS_URL") from None
    except (TypeError, ValueError):  # their words hold pieces of the URL
        raise CheckFailed("the URL cannot be used; check REDIS_URL") from None
    except (RedisError, OSError) as error:
        raise CheckFailed(f"no answer: {_words(error)}; check REDIS_URL") from None
    return "answers"


def _words(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


class _Unobserved:
    """Nobody counts what is done to check."""

    def login(self, outcome: str, seconds: float, error: ProxyError | None) -> None:
        pass

    def waited(self, seconds: float) -> None:
        pass
