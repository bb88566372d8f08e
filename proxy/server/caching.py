"""The response cache: which requests are answered by what was answered before, and which answers are kept for that."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec
import structlog

from proxy.config import Config
from proxy.config.names import matches
from proxy.core.answer import Rendering
from proxy.core.call import Call
from proxy.core.identity import identities
from proxy.core.kept import Kept, Tape
from proxy.core.turn import Turn
from proxy.dispatch.cache.store import Bounds, Store
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.record import Record

log = structlog.get_logger()

FORM = "1"
"""Of what is kept: replicas of another version have answers of their own."""
Render = Callable[[Call], Rendering]
_DECODER = msgspec.msgpack.Decoder(Kept)


class Caching:
    """Keeps answers in ``store``, those of each caller's key apart."""

    def __init__(self, config: Config, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        cache = config.cache
        self._limit = int(cache.max_answer_kb * 1024)
        self._bounds = Bounds(int(cache.max_mb * 2**20), cache.max_entries, cache.ttl_s)
        names = {model.name for model in config.models}
        cached = {name for name in names if any(matches(name, pattern) for pattern in cache.models)}
        self._contexts = {name: _context(config, name) for name in cached}

    async def visit(self, record: Record, call: Call, model: str, headers: Mapping[str, str]) -> "Visit | None":
        """What there is for a request; None where nothing is kept at all."""
        context = self._contexts.get(model)
        if context is None:
            return None
        keys = identities(call, FORM, model, context, record.caller)
        wishes = {wish.strip().lower() for wish in headers.get("cache-control", "").split(",")}
        visit = Visit(self._store, keys, self._limit, self._bounds, keeps="no-store" not in wishes)
        if "no-cache" in wishes or not keys:
            record.cache = "bypass"
        else:
            visit.kept = _decoded(await self._store.get(keys))
            record.cache = "miss" if visit.kept is None else "hit"
        self._metrics.cached(model, record.cache)
        return visit


class Visit:
    """One request's business with the cache: ``kept`` is its answer, if there was one."""

    def __init__(self, store: Store, keys: tuple[str, ...], limit: int, bounds: Bounds, *, keeps: bool) -> None:
        self.kept: Kept | None = None
        self._store = store
        self._keys = keys
        self._limit = limit
        self._bounds = bounds
        self._keeps = keeps and bool(keys)
        self._tape: Tape | None = None

    def taping(self, render: Render) -> Render:
        """``render``, whose answer may be kept in the end."""
        if self.kept is not None or not self._keeps:
            return render

        def taped(call: Call) -> Rendering:
            self._tape = Tape(render(call), self._limit)
            return self._tape

        return taped

    def keep(self, turn: Turn, upstream: str, ignored: str) -> None:
        """The answer is whole."""
        if self._tape is None or turn.finish is None:
            return
        kept = self._tape.kept(turn.finish, upstream, ignored)
        if kept is None:
            return
        free, formed = self._keys
        try:
            value = msgspec.msgpack.encode(kept)
        except UnicodeEncodeError:  # half a surrogate
            return
        if len(value) <= self._limit:
            self._store.put(formed if kept.relayed else free, value, self._bounds)


def _context(config: Config, name: str) -> str:
    """All that answers of a model depend on beside the request: with another configuration they are others."""
    models = [replace(model, path="") for model in config.models if model.name == name]
    return repr((models, config.api_url, config.tools, config.enforce_max_tokens, config.strict_params))


def _decoded(value: bytes | None) -> Kept | None:
    if value is None:
        return None
    try:
        return _DECODER.decode(value)
    except msgspec.MsgspecError:  # not ours, or damaged
        log.warning("cache.unreadable", size=len(value))
        return None
