"""Every setting with its value, its secrets masked, and where it came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from proxy.config import Config, Model
from proxy.config.addresses import MASK, masked
from proxy.config.providers import OPENAI_COMPATIBLE, STACKSPOT

DEFAULT = "default"
_NO_SETTINGS = ("models", "demo", "otel", "source", "left_out", "warnings", "origins", "files")
VARIABLES = {
    "host": "PROXY_HOST",
    "port": "PROXY_PORT",
    "idm_url": "STACKSPOT_IDM_URL",
    "api_url": "STACKSPOT_API_URL",
    "redis_url": "REDIS_URL",
    "log_level": "LOG_LEVEL",
    "log_format": "LOG_FORMAT",
    "log_messages": "LOG_MESSAGES",
}
_SECTIONS = {"routing": "router_settings", "master_key": "general_settings.master_key"}
_OF_THE_SYSTEM = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_STACKSPOT_ONLY = ("agent_id", "realm", "client_id", "client_secret", "end_marker", "conversation")
_LLM = {
    "name": "LLM_MODEL",
    "target": "LLM_MODEL",
    "api_base": "LLM_API_ENDPOINT",
    "api_key": "LLM_API_KEY",
    "ssl_verify": "LLM_VERIFY_SSL",
    "collect": "LLM_STREAM",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """``name`` is what to set, as a path of the file or a variable."""

    name: str
    value: str
    origin: str


def settings(config: Config, environ: Mapping[str, str]) -> Iterator[Setting]:
    """Those of the whole proxy; ``environ`` for those that are the system's and count as well."""
    yield Setting("PROXY_CONFIG", config.source, config.origins.get("source", DEFAULT))
    for field in fields(config):
        if field.name in _NO_SETTINGS:
            continue
        name = VARIABLES.get(field.name) or _SECTIONS.get(field.name) or f"proxy.{field.name}"
        value, secret, origin = getattr(config, field.name), not field.repr, config.origins.get(field.name)
        if field.name == "redis_url" and value is not None:
            value, secret = masked(value), False
        yield from _settings(name, value, secret, config.origins, origin)
    for name, value in config.otel.items():
        yield Setting(name, MASK if name.endswith("_HEADERS") else masked(value), config.origins.get(name, DEFAULT))
    for name in _OF_THE_SYSTEM:
        for given in (name.lower(), name):
            if environ.get(given):
                yield Setting(given, masked(environ[given]), f"environment {given}")


def _settings(
    name: str, value: Any, secret: bool, origins: Mapping[str, str], origin: str | None = None
) -> Iterator[Setting]:
    """One setting, or those of a section or a list of sections. What ``repr`` leaves out is secret."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _settings(f"{name}.{field.name}", getattr(value, field.name), not field.repr, origins)
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for index, item in enumerate(value):
            yield from _settings(f"{name}[{index}]", item, secret, origins)
    else:
        yield Setting(name, _text(value, secret), origin or origins.get(name) or DEFAULT)


def of_model(config: Config, model: Model) -> Iterator[Setting]:
    """Those of one model, as far as its provider has a use for them."""
    stackspot = model.provider == STACKSPOT
    yield Setting("model", f"{model.provider}/{model.target}", origin(config, model, "target"))
    for field in fields(model):
        unused = "collect" if stackspot else _STACKSPOT_ONLY
        if field.name in ("name", "provider", "target", "path", "api_base") or field.name in unused:
            continue
        value = getattr(model, field.name)
        yield Setting(field.name, _text(value, not field.repr), origin(config, model, field.name))
    row = OPENAI_COMPATIBLE.get(model.provider)
    base, where = model.api_base, origin(config, model, "api_base")
    if base is None:
        base, where = (row.api_base, DEFAULT) if row else (config.api_url, config.origins.get("api_url", DEFAULT))
    yield Setting("api_base", base, where)


def origin(config: Config, model: Model, key: str) -> str:
    """Where a parameter of a model came from; ``key`` is its field."""
    if not model.path:
        return config.origins.get(_LLM.get(key, ""), DEFAULT)
    entry = model.path.removesuffix(".litellm_params")
    paths = {"name": f"{entry}.model_name", "aliases": f"{entry}.aliases", "target": f"{model.path}.model"}
    return config.origins.get(paths.get(key, f"{model.path}.{key}"), DEFAULT)


def _text(value: Any, secret: bool) -> str:
    if value is None or value in ((), {}):
        return "none"
    if secret:
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_text(item, secret)}" for name, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
