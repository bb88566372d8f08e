"""``proxy.api_keys``: callers' keys with their names, models and limits."""

from proxy.config.document import Node, at_least_one
from proxy.config.notes import Notes
from proxy.config.settings import ApiKey


def read_api_keys(notes: Notes, node: Node | None) -> tuple[ApiKey, ...]:
    """Raises ``ConfigError`` for a key without name or value, and for two that share either."""
    found: list[ApiKey] = []
    for item in node.items() if node else []:
        key = _api_key(notes, item)
        if key.name in [other.name for other in found]:
            raise item.error(f"the name {key.name!r} is given to two keys")
        if twin := next((other.name for other in found if other.key == key.key), None):
            raise item.error(f"{key.name!r} has the same key as {twin!r}")
        found.append(key)
    return tuple(found)


def _api_key(notes: Notes, node: Node) -> ApiKey:
    keys = node.fields(("name", "key", "models", "requests_per_minute"))
    name, key = (keys[part].text() if part in keys else None for part in ("name", "key"))
    if name is None or key is None:
        part = "name" if name is None else "key"
        unset = f": {keys[part].variable} is not set" if part in keys and keys[part].variable else ""
        raise node.error(f"{part} is missing{unset}")
    for given in keys.values():
        notes.came_from(given)
    notes.warn_of_literal(keys["key"])
    models = tuple(text for item in keys["models"].items() if (text := item.text())) if "models" in keys else ()
    limit = at_least_one(keys["requests_per_minute"]) if "requests_per_minute" in keys else None
    return ApiKey(name, key, models, limit)
