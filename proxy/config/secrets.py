"""The secrets of a configuration, to be taken out of whatever others had a hand in."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import unquote, urlsplit

from proxy.config.addresses import MASK
from proxy.config.settings import ApiKey, Config, Model

TOKENS = r"eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]+|\bsk-[\w-]{16,}|(?<=[Bb]earer )[\w.~+/=-]{8,}"
"""What looks like a secret, whoever's it is."""
_TOKENS = re.compile(TOKENS, re.ASCII)
_SIGNS_OF_TOKENS = ("eyJ", "sk-", "earer ")
_SHORTEST = 6  # shorter ones are found in any text


class Redactor:
    """Masks the secrets of a configuration, and what looks like a token, wherever they stand in a text."""

    def __init__(self, config: Config) -> None:
        forms = [form for secret in secrets_of(config) for form in (secret, in_json(secret))]
        self._hidden = tuple(dict.fromkeys(forms))

    def __call__(self, text: str) -> str:
        for secret in self._hidden:
            if secret in text:
                text = text.replace(secret, MASK)
        return _TOKENS.sub(MASK, text) if any(sign in text for sign in _SIGNS_OF_TOKENS) else text


def secrets_of(config: Config) -> list[str]:
    """The longest first, so that none is left in part where one holds another."""
    return sorted({secret for secret in _all(config) if len(secret) >= _SHORTEST}, key=len, reverse=True)


def identifiers_of(config: Config) -> list[str]:
    """What is no secret and still nobody's business: whose accounts these are."""
    found = {name for model in config.models for name in (model.agent_id, model.realm, model.client_id) if name}
    return sorted((name for name in found if len(name) >= _SHORTEST), key=len, reverse=True)


def in_json(secret: str) -> str:
    """As it stands inside a JSON string."""
    return json.dumps(secret, ensure_ascii=False)[1:-1]


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
                secret = (header.partition("=")[2] or header).strip()  # all of it, when it is none
                yield from (secret, unquote(secret), *unquote(secret).split())
