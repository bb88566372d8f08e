"""What a configuration must not take away from the one in force while the proxy serves.

A file that is being written (truncated first, or written in parts) is often a valid file that says less. Taken over, it
would let callers in without a key. Such a change needs a restart, which is an operator's own act.
"""

from collections.abc import Iterator

from proxy.config.settings import DEFAULTS, ApiKey, Config, ConfigError

_DOTENV = ".env "


def check_successor(old: Config, new: Config) -> None:
    """Raises ``ConfigError`` for a ``new`` configuration that loosens ``old``, or that looks like half a file."""
    if old.has_keys and not new.has_keys:
        raise ConfigError(
            f"{new.source}: no key for callers is left, so anyone could call: put one back, or restart the proxy to "
            "serve without a key"
        )
    same_file = new.source in (old.source, DEFAULTS)
    for origin in (f"{old.source}:", _DOTENV) if same_file else (_DOTENV,):
        if _uses(old, origin) and not _uses(new, origin):
            raise ConfigError(
                f"{origin.rstrip(': ')}: nothing that it set is in it any more: write it again, or restart the proxy "
                "to serve without it"
            )
    served = {name for model in old.models for name in (model.name, *model.aliases)}
    if lost := [name for name in new.left_out if name in served and name not in old.left_out]:
        raise ConfigError(
            f"{new.source}: the credentials of {', '.join(lost)} are not set any more: set them, or take the model out"
        )
    _check_keys(old, new)


def _uses(config: Config, origin: str) -> bool:
    return any(where.startswith(origin) for where in config.origins.values())


def _check_keys(old: Config, new: Config) -> None:
    for key in new.api_keys:
        for before in old.api_keys:
            if key.name == before.name or key.key == before.key:
                _check_limits(before, key)
    in_force = {secret for _, secret in _secrets(old)}
    for where, secret in _secrets(new):
        if secret not in in_force and any(other.startswith(secret) for other in in_force):
            raise ConfigError(f"{where}: it is only the beginning of a key in force: write the whole key")


def _check_limits(before: ApiKey, after: ApiKey) -> None:
    where = f"proxy.api_keys: {after.name}"
    if before.models and not after.models:
        raise ConfigError(f'{where}: its models are not listed any more: write models: ["*"] if it may use all')
    if before.requests_per_minute is not None and after.requests_per_minute is None:
        raise ConfigError(
            f"{where}: its requests_per_minute is not there any more: write a larger number, or restart the proxy"
        )


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Each key with what to call it."""
    if config.master_key is not None:
        yield "the master key", config.master_key
    for key in config.api_keys:
        yield f"proxy.api_keys: {key.name}", key.key
