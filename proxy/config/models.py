"""``model_list``: the models of a file, their providers and credentials."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from proxy.config import litellm_keys
from proxy.config.addresses import base_url, ssl_verify
from proxy.config.document import Node
from proxy.config.notes import Notes
from proxy.config.providers import OPENAI_COMPATIBLE, STACKSPOT
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
_PLAIN = ("model", "custom_llm_provider", "weight", "api_base", "ssl_verify", "end_marker", "conversation")
_PARAMS = (*_PLAIN, *CREDENTIALS)
_SECRETS = ("client_secret", "api_key")
_SET_THESE = (
    "Set CLIENT_ID, CLIENT_SECRET, REALM and GENAI_AGENT_ID (in the environment or in .env) for StackSpot, or "
    "STACKSPOT_API_KEY in place of the first three; or start with --demo to try the built-in simulator without "
    "credentials."
)


class Credentials(TypedDict, total=False):
    agent_id: str | None
    realm: str | None
    client_id: str | None
    client_secret: str | None
    api_key: str | None


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
        self.left_out: set[str] = set()
        """The names of models without credentials, and their aliases."""

    def read(
        self, file: str, model_list: Node | None, aliases: Node | None, more: Sequence[Model]
    ) -> tuple[Model, ...]:
        """The models of ``model_list``, of ``aliases`` as in a models.json, and ``more`` from elsewhere."""
        entries = [self._model(entry) for entry in model_list.items()] if model_list else []
        entries += [self._alias(name, node) for name, node in aliases.entries()] if aliases else []
        models = (*(model for model in entries if model is not None), *more)
        if not models:
            missing = "none of the configured models has its credentials" if entries else "no model is configured"
            raise ConfigError(f"{file}: {missing}. {_SET_THESE}")
        _check_names(models, model_list.where if model_list else file)
        return models

    def _alias(self, name: str, node: Node) -> Model | None:
        """An entry of a models.json: ``name: {provider, model}``."""
        keys = node.fields(("provider", "model"))
        texts = {key: keys[key].text() if key in keys else None for key in ("provider", "model")}
        for key, text in texts.items():
            if text is None:
                raise node.error(f"{key} is missing")
        params = replace(keys["model"], raw=f"{texts['provider']}/{texts['model']}", path=f"{node.path}.model")
        wrapped = {
            "model_name": replace(node, raw=name, path=f"{node.path}.model_name"),
            "litellm_params": replace(node, raw={"model": params}),
        }
        return self._model(replace(node, raw=wrapped))

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
        credential = self._stackspot if provider == STACKSPOT else self._key
        values, missing = credential(provider, node, params)
        aliases = tuple(text for item in keys["aliases"].items() if (text := item.text())) if "aliases" in keys else ()
        if missing and not (self._demo and provider == STACKSPOT):
            problem = f"model {name!r} has no {', '.join(missing)}"
            if self._strict and not self._demo:
                raise node.error(f"{problem}. Set it, or start with --demo to try the built-in simulator.")
            self._notes.warnings.append(f"{entry.where}: {problem}; the model is left out")
            self.left_out.update((name, *aliases))
            return None
        weight = params["weight"].number(at_least=0.001) if "weight" in params else None
        marker = params["end_marker"].choice("required", "optional") if "end_marker" in params else None
        remembered = params["conversation"].choice("correlation-id") if "conversation" in params else None
        for used in (*keys.values(), *(params[key] for key in _PLAIN if key in params)):
            if used.value() is not None:
                self._notes.came_from(used)
        return Model(
            name=name,
            provider=provider,
            target=target,
            aliases=aliases,
            weight=1 if weight is None else weight,
            end_marker="optional" if marker == "optional" else "required",
            conversation="correlation-id" if remembered else None,
            api_base=base_url(params.get("api_base")),
            ssl_verify=ssl_verify(params.get("ssl_verify")),
            path=node.path,
            **values,
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

    def _stackspot(self, _: str, node: Node, params: Mapping[str, Node]) -> tuple[Credentials, list[str]]:
        """The credentials of a StackSpot model, and what is missing of them."""
        values = {key: self._value(key, variable, node, params.get(key)) for key, variable in CREDENTIALS.items()}
        needed = ("agent_id",) if values["api_key"] else ("agent_id", "realm", "client_id", "client_secret")
        missing = [_needs(key, CREDENTIALS[key], params.get(key)) for key in needed if values[key] is None]
        return Credentials(**values), missing  # type: ignore[typeddict-item]  # the keys are those of CREDENTIALS

    def _key(self, provider: str, node: Node, params: Mapping[str, Node]) -> tuple[Credentials, list[str]]:
        """The key of an OpenAI-compatible model. An endpoint of one's own may do without."""
        variable = OPENAI_COMPATIBLE[provider].key_variable if provider in OPENAI_COMPATIBLE else "API_KEY"
        own = "api_base" in params and "api_key" not in params
        key = None if own else self._value("api_key", variable, node, params.get("api_key"))
        missing = [] if key or own else [_needs("api_key", variable, params.get("api_key"))]
        return Credentials(api_key=key), missing

    def _value(self, key: str, variable: str, params: Node, node: Node | None) -> str | None:
        if node is not None and (value := node.text()) is not None:
            self._notes.came_from(node)
            if key in _SECRETS:
                self._notes.warn_of_literal(node)
            return value
        return self._notes.variable(f"{params.path}.{key}", variable)


def _check_names(models: Sequence[Model], where: str) -> None:
    """Entries of one name share its load; an alias leads to one name only."""
    owners: dict[str, str] = {model.name: model.name for model in models}
    for model in models:
        for alias in model.aliases:
            if owners.setdefault(alias, model.name) != model.name:
                problem = f"the name {alias!r} is given to more than one model: {owners[alias]!r} and {model.name!r}"
                raise ConfigError(f"{where}: model_list: {problem}")


def _needs(key: str, variable: str, node: Node | None) -> str:
    own = node.variable if node is not None else None
    return f"{key} ({own} or {variable})" if own and own != variable else f"{key} ({variable})"
