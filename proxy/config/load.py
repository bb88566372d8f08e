"""Assembles a ``Config`` from flags, environment, file and defaults; the earlier of these wins."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from proxy.config import document, litellm_keys
from proxy.config.document import Node, as_flag
from proxy.config.environment import Environment
from proxy.config.settings import Config, ConfigError, Correlation, Limits, Model, Timeouts, Tools

Section = TypeVar("Section", Timeouts, Limits, Tools)
Settings = TypeVar("Settings", Config, Correlation, Timeouts, Limits, Tools)

PROVIDERS = ("stackspot",)
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

_TOP = ("model_list", "router_settings", "general_settings", "litellm_settings", "proxy")
_ENTRY = ("model_name", "aliases", "litellm_params")
_CREDENTIALS = {
    "agent_id": "GENAI_AGENT_ID",
    "realm": "REALM",
    "client_id": "CLIENT_ID",
    "client_secret": "CLIENT_SECRET",
    "api_key": "STACKSPOT_API_KEY",
}
_SECRETS = ("client_secret", "api_key")
_PARAMS = ("model", "custom_llm_provider", "end_marker", "conversation", *_CREDENTIALS)
_SECTIONS = ("correlation", "timeouts", "limits", "tools")
_NUMBERS = ("keepalive_s", "commit_after", "drain_timeout")
_FLAGS = ("strict_params", "enforce_max_tokens")
_PROXY = (*_SECTIONS, *_NUMBERS, *_FLAGS)


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
    return _Loader(environment, providers, strict=file is not None, demo=demo).load(file, host, port)


class _Loader:
    def __init__(self, environment: Environment, providers: Collection[str], *, strict: bool, demo: bool) -> None:
        self._environment = environment
        self._providers = providers
        self._strict = strict
        self._demo = demo
        self._warnings: list[str] = []
        self._origins: dict[str, str] = {}
        self._custom_providers: set[str] = set()

    def load(self, file: Path | None, host: str | None, port: int | None) -> Config:
        if file is None and DEFAULT_FILE.is_file():
            file = DEFAULT_FILE
        root = (
            document.read(file, self._environment)
            if file is not None
            else document.parse(DEFAULT_MODELS, "built-in models", self._environment)
        )
        top = root.fields(_TOP, litellm_keys.TOP)
        self._warn_foreign(root, litellm_keys.TOP)
        if "litellm_settings" in top:
            self._litellm_settings(top["litellm_settings"])
        config = replace(
            self._proxy(top.get("proxy")),
            models=self._models(root, top.get("model_list")),
            source=str(file) if file is not None else "defaults",
            demo=self._demo,
        )
        config = self._general(config, top.get("general_settings"))
        config = self._router(config, top.get("router_settings"))
        config = self._from_environment(config, host, port)
        return replace(config, warnings=tuple(self._warnings), origins=self._origins)

    # Models.

    def _models(self, root: Node, model_list: Node | None) -> tuple[Model, ...]:
        entries = [self._model(entry) for entry in model_list.items()] if model_list else []
        models = tuple(model for model in entries if model is not None)
        if not models:
            missing = "none of the configured models has its credentials" if entries else "no model is configured"
            raise ConfigError(
                f"{root.file}: {missing}. Set CLIENT_ID, CLIENT_SECRET, REALM and GENAI_AGENT_ID (in the environment "
                "or in .env) for StackSpot, or STACKSPOT_API_KEY in place of the first three; "
                "or start with --demo to try the built-in simulator without credentials."
            )
        self._check_names(models, model_list)
        return models

    def _check_names(self, models: tuple[Model, ...], model_list: Node | None) -> None:
        taken: set[str] = set()
        for model in models:
            for name in (model.name, *model.aliases):
                if name in taken:
                    where = model_list.where if model_list else "models"
                    raise ConfigError(f"{where}: model_list: the name {name!r} is given to more than one model")
                taken.add(name)

    def _model(self, entry: Node) -> Model | None:
        keys = entry.fields(_ENTRY, litellm_keys.ENTRY)
        self._warn_foreign(entry, litellm_keys.ENTRY)
        name = keys["model_name"].text() if "model_name" in keys else None
        if name is None:
            raise entry.error("model_name is missing")
        if "litellm_params" not in keys:
            raise entry.error("litellm_params is missing")
        node = keys["litellm_params"]
        params = node.fields(_PARAMS, litellm_keys.PARAMS)
        self._warn_foreign(node, litellm_keys.PARAMS)
        provider, target = self._provider(node, params)
        values = {key: self._credential(key, node.path, params.get(key)) for key in _CREDENTIALS}
        if provider == "stackspot" and not self._demo:
            needed = ("agent_id",) if values["api_key"] else ("agent_id", "realm", "client_id", "client_secret")
            missing = [_needs(key, params.get(key)) for key in needed if values[key] is None]
            if missing:
                problem = f"model {name!r} has no {', '.join(missing)}"
                if self._strict:
                    raise node.error(f"{problem}. Set it, or start with --demo to try the built-in simulator.")
                self._warnings.append(f"{entry.where}: {problem}; the model is left out")
                return None
        aliases = tuple(text for item in keys["aliases"].items() if (text := item.text())) if "aliases" in keys else ()
        marker = params["end_marker"].choice("required", "optional") if "end_marker" in params else None
        remembered = params["conversation"].choice("correlation-id") if "conversation" in params else None
        return Model(
            name=name,
            provider=provider,
            target=target,
            aliases=aliases,
            end_marker="optional" if marker == "optional" else "required",
            conversation="correlation-id" if remembered else None,
            agent_id=values["agent_id"],
            realm=values["realm"],
            client_id=values["client_id"],
            client_secret=values["client_secret"],
            api_key=values["api_key"],
        )

    def _provider(self, node: Node, params: Mapping[str, Node]) -> tuple[str, str]:
        model = params["model"].text() if "model" in params else None
        if model is None:
            raise node.error("model is missing; it is written provider/target")
        custom = params["custom_llm_provider"].text() if "custom_llm_provider" in params else None
        head, slash, target = model.partition("/")
        provider, target = (custom, model) if custom else (head, target) if slash else ("openai", model)
        if provider in self._custom_providers:
            provider = "stackspot"
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise params["model"].error(f"the provider {provider!r} is not known here; known are {known}")
        return provider, target.removeprefix(f"{provider}/")

    def _credential(self, key: str, path: str, node: Node | None) -> str | None:
        value = node.text() if node is not None else None
        if value is not None and node is not None:
            self._origins[node.path] = self._environment.origin(node.variable) if node.variable else node.where
            if key in _SECRETS and node.variable is None:
                self._warnings.append(f"{node.where}: {node.path}: a secret stands in the file; use os.environ/NAME")
            return value
        fallback = self._environment(_CREDENTIALS[key])
        if fallback is not None:
            self._origins[f"{path}.{key}"] = self._environment.origin(_CREDENTIALS[key])
        return fallback

    # Settings.

    def _litellm_settings(self, node: Node) -> None:
        for key, value in node.entries():
            if key == "custom_provider_map":
                self._custom_providers |= {
                    name for item in value.items() if (name := dict(item.entries())["provider"].text()) is not None
                }
        self._warnings.append(f"{node.where}: litellm_settings: LiteLLM's; only custom_provider_map is used here")

    def _general(self, config: Config, node: Node | None) -> Config:
        if node is None:
            return config
        keys = node.fields(("master_key",), litellm_keys.GENERAL)
        self._warn_foreign(node, litellm_keys.GENERAL)
        return self._with(config, "master_key", keys.get("master_key"), Node.text)

    def _router(self, config: Config, node: Node | None) -> Config:
        keys = node.fields(("max_upstream_calls",)) if node else {}
        return self._with(config, "max_upstream_calls", keys.get("max_upstream_calls"), lambda found: found.number(1))

    def _proxy(self, node: Node | None) -> Config:
        config = Config(models=())
        if node is None:
            return config
        keys = node.fields(_PROXY)
        config = replace(
            config,
            correlation=self._correlation(keys.get("correlation")),
            timeouts=self._section(Timeouts(), keys.get("timeouts")),
            limits=self._section(Limits(), keys.get("limits")),
            tools=self._section(Tools(), keys.get("tools")),
        )
        for key in _NUMBERS:
            config = self._with(config, key, keys.get(key), Node.number)
        for key in _FLAGS:
            config = self._with(config, key, keys.get(key), Node.flag)
        return config

    def _correlation(self, node: Node | None) -> Correlation:
        correlation = Correlation()
        keys = node.fields(("header", "required", "also_accept")) if node else {}
        correlation = self._with(correlation, "header", keys.get("header"), Node.text)
        correlation = self._with(correlation, "required", keys.get("required"), Node.flag)
        if "also_accept" in keys:
            names = tuple(text for item in keys["also_accept"].items() if (text := item.text()))
            correlation = replace(correlation, also_accept=names)
        return correlation

    def _section(self, defaults: Section, node: Node | None) -> Section:
        """A section of numbers and flags, each read as its default is."""
        names = tuple(field.name for field in fields(defaults))
        keys = node.fields(names) if node else {}
        section = defaults
        for key, value in keys.items():
            read: Callable[[Node], Any] = Node.flag if isinstance(getattr(defaults, key), bool) else Node.number
            section = self._with(section, key, value, read)
        return section

    def _with(self, section: Settings, key: str, node: Node | None, read: Callable[[Node], Any]) -> Settings:
        value = read(node) if node is not None else None
        if node is None or value is None:
            return section
        self._origins[node.path] = self._environment.origin(node.variable) if node.variable else node.where
        return replace(section, **{key: value})

    def _from_environment(self, config: Config, host: str | None, port: int | None) -> Config:
        def variable(key: str, name: str, read: Callable[[str], Any] = str) -> None:
            nonlocal config
            text = self._environment(name)
            if text is not None:
                config = replace(config, **{key: read(text)})
                self._origins[key] = self._environment.origin(name)

        variable("host", "PROXY_HOST")
        variable("port", "PROXY_PORT", _port)
        variable("idm_url", "STACKSPOT_IDM_URL", _url("STACKSPOT_IDM_URL"))
        variable("api_url", "STACKSPOT_API_URL", _url("STACKSPOT_API_URL"))
        variable("log_level", "LOG_LEVEL", _one_of("LOG_LEVEL", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
        variable("log_format", "LOG_FORMAT", _one_of("LOG_FORMAT", "json", "console"))
        variable(
            "log_messages", "LOG_MESSAGES", lambda text: as_flag(text, lambda why: ConfigError(f"LOG_MESSAGES: {why}"))
        )
        if config.master_key is None:
            variable("master_key", "PROXY_API_KEY")
        for key, value in (("host", host), ("port", port)):
            if value is not None:
                config = replace(config, **{key: value})  # type: ignore[arg-type]  # two fields, two types
                self._origins[key] = "flag"
        return config

    def _warn_foreign(self, node: Node, foreign: Mapping[str, str]) -> None:
        if isinstance(node.raw, dict):
            self._warnings += [
                f"{node.raw[key].where}: {node.raw[key].path}: {why}" for key, why in foreign.items() if key in node.raw
            ]


def _needs(key: str, node: Node | None) -> str:
    variable = _CREDENTIALS[key]
    own = node.variable if node is not None else None
    return f"{key} ({own} or {variable})" if own and own != variable else f"{key} ({variable})"


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ConfigError(f"PROXY_PORT: a port is expected, not {text!r}")
    return int(text)


def _url(name: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.startswith(("http://", "https://")):
            raise ConfigError(f"{name}: a URL that begins with https:// or http:// is expected, not {text!r}")
        return text.rstrip("/")

    return read


def _one_of(name: str, *allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        found = next((value for value in allowed if value.lower() == text.lower()), None)
        if found is None:
            raise ConfigError(f"{name}: one of {', '.join(allowed)} is expected, not {text!r}")
        return found

    return read
