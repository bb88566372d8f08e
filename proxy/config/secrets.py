"""The secrets of a configuration, to be taken out of whatever others had a hand in."""

import base64
import json
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies
from weakref import WeakKeyDictionary

from proxy.config.addresses import MASK
from proxy.config.settings import ApiKey, Config, Model

TOKENS = r"eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]+|\bsk-[\w-]{16,}|(?<=[Bb]earer )[\w.~+/=-]{8,}"
"""What looks like a secret, whoever's it is."""
_TOKENS = re.compile(TOKENS, re.ASCII)
_SIGNS_OF_TOKENS = ("eyJ", "sk-", "earer ")
_SHORTEST = 6  # shorter ones are found in any text
_URL_SAFE = str.maketrans("+/", "-_")
TOKENS_KEPT = 3
"""Of one login. Answers to requests with a token before the current one may still be under way."""


class IssuedTokens:
    """The access tokens of this process's logins: of each login the current one and some before it."""

    def __init__(self) -> None:
        self.written: tuple[str, ...] = ()
        self.in_base64: tuple[str, ...] = ()
        """All forms of the tokens. They are replaced and never changed, since other threads read them."""
        self._of: WeakKeyDictionary[object, deque[str]] = WeakKeyDictionary()

    def remember(self, login: object, token: str) -> None:
        """``login`` is what the token was issued to. Its tokens are forgotten some time after it is gone."""
        if len(token) >= _SHORTEST:
            self._of.setdefault(login, deque(maxlen=TOKENS_KEPT)).append(token)
            known = {token for tokens in self._of.values() for token in tokens}
            tokens = sorted(known, key=len, reverse=True)  # so that none is left in part where one begins another
            self.written = tuple(form for token in tokens for form in written_forms(token))
            self.in_base64 = tuple(form for token in tokens for form in base64_forms(token))


ISSUED = IssuedTokens()
"""Of the whole process, as its log is."""


class Redactor:
    """Masks the secrets of a configuration, the access tokens of logins, and what looks like a token, wherever they
    stand in a text."""

    def __init__(self, config: Config) -> None:
        self._hidden = tuple(dict.fromkeys(form for secret in secrets_of(config) for form in written_forms(secret)))

    def __call__(self, text: str) -> str:
        text = _without(self._hidden, _without(ISSUED.written, text))
        return _TOKENS.sub(MASK, text) if any(sign in text for sign in _SIGNS_OF_TOKENS) else text


class UpstreamRedactor(Redactor):
    """Masks the same in what an upstream says to a caller, also where it is in base64; and the upstreams' hosts."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._in_base64 = tuple(form for secret in secrets_of(config) for form in base64_forms(secret))
        self._hosts = re.compile("|".join(map(_host_pattern, _hosts(config))) or r"(?!)", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        text = _without(self._in_base64, _without(ISSUED.in_base64, text))
        return self._hosts.sub(MASK, super().__call__(text))


def _without(forms: Sequence[str], text: str) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, MASK)
    return text


def written_forms(secret: str) -> Sequence[str]:
    """As it is, inside a JSON string, and in a URL."""
    return tuple(dict.fromkeys((secret, in_json(secret), quote(secret, safe="", errors="replace"))))


def base64_forms(secret: str) -> Sequence[str]:
    """What base64 makes of it wherever it begins in a group of three bytes, without the characters at either end that
    depend on its neighbours."""
    forms: dict[str, None] = {}
    data = secret.encode(errors="replace")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data + b"\0" * (-(before + len(data)) % 3)).decode()
        known = whole[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        if len(known) >= _SHORTEST:
            forms |= dict.fromkeys((known, known.translate(_URL_SAFE)))
    return tuple(forms)


def _hosts(config: Config) -> list[str]:
    """The hosts of upstreams, and of the HTTP proxies on the way; the longest first."""
    urls = [config.api_url, config.idm_url, *(model.api_base or "" for model in config.models), *getproxies().values()]
    found = {urlsplit(url if "//" in url else f"//{url}").hostname or "" for url in urls}
    return sorted(found - {""}, key=len, reverse=True)


def _host_pattern(host: str) -> str:
    """With its port. A name without a dot may be an ordinary word: it counts only inside a URL or with a port."""
    name = re.escape(host)
    if "." in host or ":" in host:
        return rf"\[?{name}\]?(?::\d+)?"
    return rf"(?<=//){name}\b(?::\d+)?|\b{name}:\d+"


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
