"""Assembles a ``Config`` from flags, environment, file and defaults; the earlier of these wins."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.config import document, litellm_keys
from proxy.config.addresses import fault_of_http, fault_of_redis
from proxy.config.document import Node, as_flag
from proxy.config.environment import Environment
from proxy.config.files import digest
from proxy.config.models import ModelReader
from proxy.config.names import matches
from proxy.config.notes import Notes
from proxy.config.providers import PROVIDERS
from proxy.config.routing import read_routing
from proxy.config.sections import SectionReader
from proxy.config.settings import DEFAULTS, MASTER, Config, ConfigError, Model

DEFAULT_FILE = Path("config.yaml")
DEFAULT_MODELS = """\
model_list:
  - model_name: stackspot-ai-chat
    aliases: [stackspot, stackspot-chat]
    litellm_params: {model: stackspot/agent, agent_id: os.environ/STACKSPOT_CHAT_AGENT_ID}
  - model_name: stackspot-ai-code
    aliases: [stackspot-code]
    litellm_params: {model: stackspot/agent, agent_id: os.environ/STACKSPOT_CODE_AGENT_ID}
  - model_name: stackspot-ai-assistant
    aliases: [stackspot-assistant]
    litellm_params: {model: stackspot/agent, agent_id: os.environ/STACKSPOT_ASSISTANT_AGENT_ID}
"""
"""What is served when there is no file."""

_TOP = ("model_list", "aliases", "router_settings", "general_settings", "litellm_settings", "proxy")


def load(
    file: Path | None,
    environment: Environment,
    *,
    host: str | None = None,
    port: int | None = None,
    demo: bool = False,
    providers: Collection[str] = PROVIDERS,
) -> Config:
    """The configuration to run with. ``file`` is one named by hand: it must be usable as a whole. Without it
    ``config.yaml`` of the working directory counts, where a model without credentials is only left out.

    Raises ``ConfigError`` with the file, the line and the key.
    """
    notes = Notes(environment)
    strict = file is not None
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    files = {str(file or DEFAULT_FILE): digest(file or DEFAULT_FILE)}
    root = document.read(file, environment) if file else document.parse(DEFAULT_MODELS, "built-in models", environment)
    top = root.fields(_TOP, litellm_keys.TOP)
    notes.warn_foreign(root, litellm_keys.TOP)
    custom = _custom_providers(top["litellm_settings"], notes) if "litellm_settings" in top else set()
    models = ModelReader(notes, providers, custom, strict=strict, demo=demo)
    sections = SectionReader(notes)
    config = Config(models=(), source=str(file) if file else DEFAULTS, demo=demo)
    config = sections.proxy(config, top.get("proxy"))
    config = sections.general(config, top.get("general_settings"))
    endpoint = _endpoint_of_the_environment(notes)
    found = models.read(root.file, top.get("model_list"), top.get("aliases"), (endpoint,) if endpoint else ())
    routing = read_routing(notes, top.get("router_settings"), found, models.left_out)
    config = _from_environment(replace(config, models=found, routing=routing), notes)
    _check_keys(config, models.left_out, notes)
    _check_cache(config, models.left_out, notes)
    for key, value in (("host", host), ("port", port)):
        if value is not None:
            config = replace(config, **{key: value})  # type: ignore[arg-type]  # two fields, two types
            notes.origins[key] = "flag"
    files |= environment.files | {path: digest(path) for path in _certificates(config)}
    return replace(
        config,
        left_out=tuple(sorted(models.left_out)),
        warnings=tuple(notes.warnings),
        origins=notes.origins,
        files=files,
    )


def _certificates(config: Config) -> Iterator[str]:
    for model in config.models:
        if isinstance(model.ssl_verify, str):
            yield model.ssl_verify
    if config.tls is not None:
        yield from (config.tls.cert, config.tls.key)


def _check_keys(config: Config, left_out: Collection[str], notes: Notes) -> None:
    """Raises ``ConfigError`` for a key that is the master key's twin; warns of models that nobody can ask for."""
    names = {name for model in config.models for name in (model.name, *model.aliases)} | set(left_out)
    for key in config.api_keys:
        if config.master_key is not None and (key.key == config.master_key or key.name == MASTER):
            raise ConfigError(f"proxy.api_keys: {key.name!r} has the name or the key of the master key")
        for pattern in key.models:
            if not any(matches(name, pattern) or matches(pattern, name) for name in names):
                notes.warnings.append(f"proxy.api_keys: {key.name}: there is no model {pattern!r}")


def _check_cache(config: Config, left_out: Collection[str], notes: Notes) -> None:
    """Raises ``ConfigError`` for a model that is not there, or whose answers cannot be given again."""
    where = f"{notes.origins.get('proxy.cache.models')}: proxy.cache.models"
    for pattern in config.cache.models:
        found = [model for model in config.models if matches(model.name, pattern)]
        if not found and pattern not in left_out:
            raise ConfigError(f"{where}: there is no model {pattern!r}; known are {', '.join(_names(config))}")
        for model in found:
            if model.conversation is not None:
                raise ConfigError(f"{where}: {model.name}: it remembers, so that no two answers are for the same")
            if model.end_marker == "optional":
                raise ConfigError(f"{where}: {model.name}: without an end marker a whole answer cannot be told")


def _names(config: Config) -> dict[str, None]:
    return dict.fromkeys(model.name for model in config.models)


def _custom_providers(node: Node, notes: Notes) -> set[str]:
    """The names under which LiteLLM users registered their StackSpot handler."""
    notes.warnings.append(f"{node.where}: litellm_settings: LiteLLM's; only custom_provider_map is used here")
    providers = (
        dict(item.entries()).get("provider")
        for key, value in node.entries()
        if key == "custom_provider_map"
        for item in value.items()
    )
    return {name for provider in providers if provider is not None and (name := provider.text()) is not None}


def _endpoint_of_the_environment(notes: Notes) -> Model | None:
    """The one OpenAI-compatible endpoint that the ``LLM_`` variables describe, when they are switched on."""

    def flag(name: str, default: bool) -> bool:
        text = notes.variable(name, name)
        return default if text is None else _flag(name)(text)

    if not flag("LLM_ENABLED", default=False):
        return None
    values = {name: notes.variable(name, name) for name in ("LLM_MODEL", "LLM_API_ENDPOINT", "LLM_API_KEY")}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ConfigError(f"LLM_ENABLED is set, but not {', '.join(missing)}")
    model, base = str(values["LLM_MODEL"]), str(values["LLM_API_ENDPOINT"])
    return Model(
        name=model,
        provider="openai",
        target=model,
        api_base=_url("LLM_API_ENDPOINT")(base),
        api_key=values["LLM_API_KEY"],
        ssl_verify=flag("LLM_VERIFY_SSL", default=True),
        collect=flag("LLM_STREAM", default=True),
    )


def _from_environment(config: Config, notes: Notes) -> Config:
    def variable(key: str, name: str, read: Callable[[str], Any] = str) -> None:
        nonlocal config
        text = notes.variable(key, name)
        if text is not None:
            config = replace(config, **{key: read(text)})

    variable("host", "PROXY_HOST")
    variable("port", "PROXY_PORT", _port)
    variable("idm_url", "STACKSPOT_IDM_URL", _url("STACKSPOT_IDM_URL"))
    variable("api_url", "STACKSPOT_API_URL", _url("STACKSPOT_API_URL"))
    variable("redis_url", "REDIS_URL", _redis_url)
    variable("log_level", "LOG_LEVEL", _one_of("LOG_LEVEL", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
    variable("log_format", "LOG_FORMAT", _one_of("LOG_FORMAT", "json", "console"))
    variable("log_messages", "LOG_MESSAGES", _flag("LOG_MESSAGES"))
    if config.master_key is None:
        variable("master_key", "PROXY_API_KEY")
    config = replace(config, otel=notes.variables("OTEL_"))
    return replace(config, quota=None) if config.demo else config


def _flag(name: str) -> Callable[[str], bool]:
    return lambda text: as_flag(text, lambda problem: ConfigError(f"{name}: {problem}"))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ConfigError(f"PROXY_PORT: a port is expected, not {text!r}")
    return int(text)


def _url(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if fault := fault_of_http(text):
            raise ConfigError(f"{name}: {fault}")
        return text.rstrip("/")

    return read


def _redis_url(text: str) -> str:
    if fault := fault_of_redis(text):
        raise ConfigError(f"REDIS_URL: {fault}")
    return text


def _one_of(name: str, *allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        found = next((value for value in allowed if value.lower() == text.lower()), None)
        if found is None:
            raise ConfigError(f"{name}: one of {', '.join(allowed)} is expected, not {text!r}")
        return found

    return read
