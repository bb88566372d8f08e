"""Callers' keys: whose key was sent, and which models it may use."""

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from aiohttp import web

from proxy.config import Config
from proxy.config.names import matches
from proxy.config.settings import MASTER, ApiKey, Model
from proxy.errors import InvalidKey, UnknownModel, safe_model

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""Where callers send their keys: OpenAI's clients as a bearer token, Anthropic's and Azure's in the others."""


class Named(Protocol):
    @property
    def name(self) -> str: ...


def has_several(config: Config) -> bool:
    """Callers have different keys, so what belongs to one of them is not for the others."""
    return len(config.api_keys) + (config.master_key is not None) > 1


Found = TypeVar("Found", bound=Named)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who sent a request. ``name`` is that of the key, empty where none are configured. ``models`` are the names
    and patterns that the key is for, all if there are none; ``known`` are the names that these come to."""

    name: str
    models: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def may_use(self, sent: str, name: str) -> bool:
        """``sent`` is a name or an alias, ``name`` that of the entry it stands for."""
        return not self.models or any(matches(sent, model) or matches(name, model) for model in self.models)

    def find(self, find: Callable[[str], Found], sent: str) -> Found:
        """What ``find`` gives for ``sent``. Raises ``UnknownModel``, which tells the holder of a key that is for
        some models nothing of the others, not even whether they are there."""
        try:
            found = find(sent)
        except UnknownModel:
            if not self.models:
                raise
        else:
            if self.may_use(sent, found.name):
                return found
        known = ", ".join(self.known) or "none that is configured"
        raise UnknownModel(
            f"the model {sent[:128]!r} is not for this key; it is for: {known}",
            reason=f"the model {safe_model(sent) or '***'} is not for this key",
            param="model",
        )


HOLDER = web.RequestKey("holder", Holder)
NOBODY = Holder("")


class KeyRing:
    """All keys of callers. Which key was sent is found out in the same time whatever was sent: digests of all keys
    are compared, to the last."""

    def __init__(self, config: Config) -> None:
        self._salt = secrets.token_bytes(32)
        self._holders: list[tuple[bytes, Holder]] = []
        if config.master_key is not None:
            self._add(config.master_key, Holder(MASTER))
        for key in config.api_keys:
            self._add(key.key, Holder(key.name, key.models, tuple(dict.fromkeys(_known(key, config.models)))))

    def holder(self, headers: Mapping[str, str]) -> Holder:
        """Who sent a request with these headers: the holder of the first key that is known, in the order of
        ``KEY_HEADERS``. Raises ``InvalidKey``."""
        if not self._holders:
            return NOBODY
        sent = [self._digest(key) for key in _keys(headers)]
        if not sent:
            raise InvalidKey("this proxy needs a key: send 'Authorization: Bearer ...', 'x-api-key' or 'api-key'")
        found = [holder for key in sent for digest, holder in self._holders if hmac.compare_digest(digest, key)]
        if not found:
            raise InvalidKey("this proxy does not know the key that was sent")
        return found[0]

    def _add(self, key: str, holder: Holder) -> None:
        self._holders.append((self._digest(key), holder))

    def _digest(self, key: str) -> bytes:
        # aiohttp gives the bytes of a header that are no UTF-8 as surrogates
        return hmac.digest(self._salt, key.strip().encode(errors="surrogateescape"), "sha256")


def _keys(headers: Mapping[str, str]) -> Iterator[str]:
    """The keys that a request carries: one for each header."""
    for name in KEY_HEADERS:
        value = headers.get(name, "")
        if name == "authorization":
            scheme, _, value = value.partition(" ")
            if scheme.lower() != "bearer":
                continue
        if value.strip():
            yield value


def _known(key: ApiKey, models: Sequence[Model]) -> Iterator[str]:
    """The names that a key may use; of an alias with ``*`` only the part that it is for."""
    holder = Holder(key.name, key.models)
    for model in models:
        for name in (model.name, *model.aliases):
            if holder.may_use(name, model.name):
                yield name
            else:
                yield from (wanted for wanted in key.models if matches(wanted, name))
