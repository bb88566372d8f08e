"""``model_list``: the models of a file, their providers and credentials."""

from collections.abc import Collection, Mapping

from proxy.config import litellm_keys
from proxy.config.document import Node
from proxy.config.notes import Notes
from proxy.config.settings import ConfigError, Model

CREDENTIALS = {
    "agent_id": "GENAI_AGENT_ID",
    "realm": "REALM",
    "client_id": "CLIENT_ID",
    "client_secret": "CLIENT_SECRET",
    "api_key": "STACKSPOT_API_KEY",
}
"""Parameters that default to an environment variable."""

_ENTRY = ("model_name", "aliases", "litellm_params")
_PARAMS = ("model", "custom_llm_provider", "end_marker", "conversation", *CREDENTIALS)
_SECRETS = ("client_secret", "api_key")
_SET_THESE = (
    "Set CLIENT_ID, CLIENT_SECRET, REALM and GENAI_AGENT_ID (in the environment or in .env) for StackSpot, or "
    "STACKSPOT_API_KEY in place of the first three; or start with --demo to try the built-in simulator without "
    "credentials."
)


class ModelReader:
    """Reads models. ``custom`` are provider names that LiteLLM users gave their StackSpot handler. A ``strict``
    reader raises ``ConfigError`` for a model without credentials, another one leaves it out with a warning; in a
    ``demo`` none are needed."""

    def __init__(
        self, notes: Notes, providers: Collection[str], custom: Collection[str], *, strict: bool, demo: bool
    ) -> None:
        self._notes = notes
        self._providers = providers
        self._custom = custom
        self._strict = strict
        self._demo = demo

    def read(self, file: str, model_list: Node | None) -> tuple[Model, ...]:
        entries = [self._model(entry) for entry in model_list.items()] if model_list else []
        models = tuple(model for model in entries if model is not None)
        if model_list is None or not models:
            missing = "none of the configured models has its credentials" if entries else "no model is configured"
            raise ConfigError(f"{file}: {missing}. {_SET_THESE}")
        names = [name for model in models for name in (model.name, *model.aliases)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(f"{model_list.where}: model_list: the name {twice!r} is given to more than one model")
        return models

    def _model(self, entry: Node) -> Model | None:
        keys = entry.fields(_ENTRY, litellm_keys.ENTRY)
        self._notes.warn_foreign(entry, litellm_keys.ENTRY)
        name = keys["model_name"].text() if "model_name" in keys else None
        if name is None:
            raise entry.error("model_name is missing")
        if "litellm_params" not in keys:
            raise entry.error("litellm_params is missing")
        node = keys["litellm_params"]
        params = node.fields(_PARAMS, litellm_keys.PARAMS)
        self._notes.warn_foreign(node, litellm_keys.PARAMS)
        provider, target = self._provider(node, params)
        values = {key: self._credential(key, node.path, params.get(key)) for key in CREDENTIALS}
        if provider == "stackspot" and not self._demo:
            needed = ("agent_id",) if values["api_key"] else ("agent_id", "realm", "client_id", "client_secret")
            missing = [_needs(key, params.get(key)) for key in needed if values[key] is None]
            if missing:
                problem = f"model {name!r} has no {', '.join(missing)}"
                if self._strict:
                    raise node.error(f"{problem}. Set it, or start with --demo to try the built-in simulator.")
                self._notes.warnings.append(f"{entry.where}: {problem}; the model is left out")
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
        if provider in self._custom:
            provider = "stackspot"
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise params["model"].error(f"the provider {provider!r} is not known here; known are {known}")
        return provider, target.removeprefix(f"{provider}/")

    def _credential(self, key: str, path: str, node: Node | None) -> str | None:
        if node is not None and (value := node.text()) is not None:
            self._notes.came_from(node)
            if key in _SECRETS:
                self._notes.warn_of_literal(node)
            return value
        return self._notes.variable(f"{path}.{key}", CREDENTIALS[key])


def _needs(key: str, node: Node | None) -> str:
    variable = CREDENTIALS[key]
    own = node.variable if node is not None else None
    return f"{key} ({own} or {variable})" if own and own != variable else f"{key} ({variable})"
