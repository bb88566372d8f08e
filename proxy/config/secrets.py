"""The secrets of a configuration, to be taken out of whatever others had a hand in."""

from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import unquote, urlsplit

from proxy.config.addresses import MASK
from proxy.config.settings import ApiKey, Config, Model

_SHORTEST = 6  # shorter ones are found in any text


def secrets_of(config: Config) -> list[str]:
    """The longest first, so that none is left in part where one holds another."""
    return sorted({secret for secret in _all(config) if len(secret) >= _SHORTEST}, key=len, reverse=True)


def identifiers_of(config: Config) -> list[str]:
    """What is no secret and still nobody's business: whose accounts these are."""
    found = {name for model in config.models for name in (model.agent_id, model.realm, model.client_id) if name}
    return sorted((name for name in found if len(name) >= _SHORTEST), key=len, reverse=True)


def without_secrets(config: Config, text: str) -> str:
    """``text`` with the secrets of the configuration masked."""
    for secret in secrets_of(config):
        text = text.replace(secret, MASK)
    return text


def _all(config: Config) -> Iterator[str]:
    """What ``repr`` leaves out is secret."""
    parts: tuple[Config | Model | ApiKey, ...] = (config, *config.models, *config.api_keys)
    for part in parts:
        values = (getattr(part, field.name) for field in fields(part) if not field.repr)
        yield from (value for value in values if isinstance(value, str))
    if config.redis_url and (password := urlsplit(config.redis_url).password):
        yield from (password, unquote(password))
    for name, value in config.otel.items():
        if name.endswith("_HEADERS"):  # name=value,name=value
            for header in value.split(","):
                secret = header.partition("=")[2].strip()
                yield from (secret, unquote(secret), *unquote(secret).split())
