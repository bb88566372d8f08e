"""Callers' keys: ``general_settings.master_key``, and ``proxy.api_keys`` with their names, models and limits.

What an entry names must be there: without a key, a list of models or a limit that the file names, callers could do more
than the file says.
"""

from proxy.config.document import Node, at_least_one
from proxy.config.notes import Notes
from proxy.config.settings import ApiKey


def read_master_key(notes: Notes, node: Node) -> str:
    """Raises ``ConfigError`` for a key that is named but absent."""
    key = _key(node)
    if key is None:
        absent = f"{node.variable} is not set" if node.variable else "it is empty"
        mend = f"set {node.variable}" if node.variable else "write os.environ/NAME here"
        raise node.error(f"{absent}: {mend}, or take this line out (then PROXY_API_KEY is the key, if it is set)")
    notes.came_from(node)
    notes.warn_of_literal(node)
    return key


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
    name = keys["name"].text() if "name" in keys else None
    key = _key(keys["key"]) if "key" in keys else None
    if name is None or key is None:
        part = "name" if name is None else "key"
        unset = f": {keys[part].variable} is not set" if part in keys and keys[part].variable else ""
        raise node.error(f"{part} is missing{unset}")
    for given in keys.values():
        notes.came_from(given)
    notes.warn_of_literal(keys["key"])
    models = _models(keys["models"]) if "models" in keys else ()
    limit = _limit(keys["requests_per_minute"]) if "requests_per_minute" in keys else None
    return ApiKey(name, key, models, limit)


def _key(node: Node) -> str | None:
    """A key as callers send it, without the spaces round it; None for an empty one."""
    return (node.text() or "").strip() or None


def _models(node: Node) -> tuple[str, ...]:
    names = []
    for item in node.items():
        name = item.text()
        if name is None:
            raise item.error(f"{item.variable} is not set" if item.variable else "a model's name is expected here")
        names.append(name)
    if not names:
        raise node.error("no model is named: name some, or take this line out for a key that may use all")
    return tuple(names)


def _limit(node: Node) -> int:
    limit = at_least_one(node)
    if limit is None:
        absent = f"{node.variable} is not set" if node.variable else "a number is expected here"
        raise node.error(f"{absent}: take this line out for a key without a limit")
    return limit
