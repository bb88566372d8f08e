"""``router_settings``: retries, cool-downs, fallbacks."""

import difflib
from collections.abc import Collection
from dataclasses import replace

from proxy.config import litellm_keys
from proxy.config.document import Node, at_least_one, positive
from proxy.config.notes import Notes
from proxy.config.settings import Model, Routing

_KEYS = ("routing_strategy", "num_retries", "max_upstream_calls", "allowed_fails", "cooldown_time", "fallbacks")


def read_routing(notes: Notes, node: Node | None, models: Collection[Model], absent: Collection[str]) -> Routing:
    """What the section says. Fallbacks are given by the names of ``models``; those ``absent`` were left out for
    want of credentials, and their fallbacks with them."""
    if node is None:
        return Routing()
    keys = node.fields(_KEYS, litellm_keys.ROUTER)
    notes.warn_foreign(node, litellm_keys.ROUTER)
    _check_strategy(notes, keys.get("routing_strategy"))
    routing = notes.take(Routing(), "num_retries", keys.get("num_retries"), Node.count)
    routing = notes.take(routing, "max_upstream_calls", keys.get("max_upstream_calls"), at_least_one)
    routing = notes.take(routing, "allowed_fails", keys.get("allowed_fails"), Node.count)
    routing = notes.take(routing, "cooldown_time", keys.get("cooldown_time"), positive)
    if "fallbacks" in keys:
        notes.came_from(keys["fallbacks"])
        routing = replace(routing, fallbacks=_fallbacks(keys["fallbacks"], models, absent))
    longest = max(map(len, routing.fallbacks.values()), default=0)
    if longest >= routing.max_upstream_calls:
        few = f"max_upstream_calls: {routing.max_upstream_calls} does not reach the last of {longest} fallbacks"
        notes.warnings.append(f"{node.where}: router_settings: {few}")
    return routing


def _check_strategy(notes: Notes, node: Node | None) -> None:
    value = node.choice("simple-shuffle", *litellm_keys.OTHER_STRATEGIES) if node is not None else None
    if node is not None and value not in (None, "simple-shuffle"):
        notes.warnings.append(f"{node.where}: {node.path}: {value} is LiteLLM's; here it is simple-shuffle")


def _fallbacks(node: Node, models: Collection[Model], absent: Collection[str]) -> dict[str, tuple[str, ...]]:
    """``[{name: [other names]}]``, as LiteLLM writes them; aliases become the names they stand for."""
    names = {name: model.name for model in models for name in (model.name, *model.aliases)}
    found: dict[str, tuple[str, ...]] = {}

    def known(name: str, where: Node) -> str | None:
        if name not in names:
            if name in absent:
                return None
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
            raise where.error(f"there is no model {name!r}; {hint}")
        return names[name]

    for item in node.items():
        for name, others in item.entries():
            first = known(name, others)
            chain = tuple(to for other in others.items() if (text := other.text()) and (to := known(text, other)))
            if first is None:
                continue
            if first in found:
                raise others.error(f"the fallbacks of {first!r} are given twice")
            if first in chain or len(set(chain)) < len(chain):
                raise others.error("a model cannot be its own fallback, nor stand in the list twice")
            found[first] = chain
    return found
