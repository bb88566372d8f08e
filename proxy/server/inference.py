"""The way of one inference request, from its body to the end of its answer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import structlog
from aiohttp import web

from proxy.config import Config
from proxy.config.secrets import UpstreamRedactor
from proxy.core.answer import Rendering, Served
from proxy.core.call import Call
from proxy.core.dialect import Caller, Outgoing
from proxy.core.kept import Kept
from proxy.core.turn import RoundEnd, Turn
from proxy.dispatch.attempts import Attempts
from proxy.dispatch.deployment import Deployment
from proxy.dispatch.dispatcher import Dispatcher, Refused
from proxy.dispatch.quota.queue import Admission
from proxy.dispatch.router import Group, Router
from proxy.dispatch.transport import Reply
from proxy.errors import Internal, InvalidRequest, ProxyError
from proxy.server.batch import Batch
from proxy.server.body import read_body
from proxy.server.caching import Caching, Visit
from proxy.server.key_limits import KeyLimits
from proxy.server.keys import HOLDER, has_several
from proxy.server.outlet import Outlet
from proxy.server.pump import Sink, pump
from proxy.server.state import RECORD
from proxy.server.watchdog import Patience, Watchdog, Watched
from proxy.telemetry.encoding import ms
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observers import Observers
from proxy.telemetry.record import Record

log = structlog.get_logger()

IGNORED = "x-proxy-ignored-params"
ANSWERED_BY = "x-proxy-upstream-model"
USAGE = "x-proxy-usage"
CACHE = "x-proxy-cache"
STREAMED = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class Inference:
    """Serves the routes of one caller's dialect."""

    def __init__(
        self,
        caller: Caller,
        config: Config,
        router: Router,
        limits: KeyLimits,
        attempts: Attempts,
        dispatcher: Dispatcher,
        watchdog: Watchdog,
        batch: Batch,
        caching: Caching,
        metrics: Metrics,
        observers: Observers,
    ) -> None:
        self._caller = caller
        self._config = config
        self._router = router
        self._limits = limits
        self._attempts = attempts
        self._dispatcher = dispatcher
        self._watchdog = watchdog
        self._batch = batch
        self._caching = caching
        self._metrics = metrics
        self._observers = observers
        self._several_keys = has_several(config)
        self._redact = UpstreamRedactor(config)
        self._patience = Patience(config.timeouts, config.keepalive_s, config.commit_after)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        record = request[RECORD]
        body = await read_body(request, self._config.timeouts.request_body)
        ready = time.monotonic()
        call = replace(
            self._caller.read(body, record.id, int(time.time())),
            conversation=record.correlation_id,
            owner=record.caller if self._several_keys else "",
        )
        group = request[HOLDER].find(self._router.find, call.model)
        record.model = group.name
        await self._limits.admit(record.caller)
        visit = await self._caching.visit(record, call, group.name, request.headers)
        job = _Job(record, call, group, ready, visit)
        return await (self._stream(request, job) if call.stream else self._whole(request, job))

    async def _stream(self, request: web.Request, job: "_Job") -> web.StreamResponse:
        turn = self._turn(job, self._caller.stream)
        outlet = Outlet(request, job.record, _Streamed(headers=STREAMED), self._batch)
        try:
            async with self._watchdog.watch(turn, outlet, self._patience) as watched:
                await self._converse(job, turn, watched, outlet, outlet)
                await outlet.close()
        except ConnectionError:
            raise  # the caller has left
        except Exception as problem:
            error = _as_proxy_error(problem)
            if outlet.writing:  # the caller does not read: there is no telling it
                job.record.error = error
                outlet.abort()
                raise ConnectionResetError from None
            if turn.finish is None:
                job.record.error = error
                out = turn.fail(error, opened=outlet.opened)
                if not out:
                    raise error from None
                await self._last_words(turn, outlet, out)
        return outlet.response

    async def _last_words(self, turn: Turn, outlet: Outlet, out: bytes) -> None:
        try:
            async with self._watchdog.watch(turn, outlet, self._patience):
                await outlet.write(out)
                await outlet.close()
        except ProxyError:  # they are not read either
            outlet.abort()
            raise ConnectionResetError from None

    async def _whole(self, request: web.Request, job: "_Job") -> web.StreamResponse:
        turn = self._turn(job, self._caller.whole)
        response = web.Response(content_type="application/json")
        outlet = Outlet(request, job.record, response, self._batch)
        body = _Collected()
        async with self._watchdog.watch(turn, None, self._patience) as watched:
            await self._converse(job, turn, watched, body, outlet)
        outlet.label({USAGE: "estimated" if turn.usage.estimated else ""})
        response.body = bytes(body.data)
        job.record.sent = len(body.data)
        try:
            async with self._watchdog.watch(turn, outlet, self._patience):
                await outlet.close()
        except ProxyError as error:
            job.record.error = error
            outlet.abort()
            raise ConnectionResetError from None
        return outlet.response

    def _turn(self, job: "_Job", render: Callable[[Call], Rendering]) -> Turn:
        if job.visit is not None:
            render = job.visit.taping(render)
        job.record.turn = turn = Turn(job.call, self._observers.overhearing(job.record, job.call, render))
        self._metrics.begun(job.record, turn)
        return turn

    async def _converse(self, job: "_Job", turn: Turn, watched: Watched, sink: Sink, outlet: Outlet) -> None:
        """All that is sent for a request, until it is answered. Raises the ``ProxyError`` that ended it."""

        async def answer(deployment: Deployment, has_fallback: bool) -> None:
            outlet.label(self._label(job, deployment))
            await self._rounds(job, turn, watched, sink, deployment, has_fallback)

        visit, record = job.visit, job.record
        watched.waiting = visit is None or visit.kept is None
        if visit is None:
            return await self._attempts.run(job.group, turn, answer)
        outlet.label({CACHE: "miss" if visit.kept is None else "hit"})
        if visit.kept is not None:
            outlet.label({ANSWERED_BY: visit.kept.upstream, IGNORED: visit.kept.ignored})
            return await sink.write(turn.replay(visit.kept, partial(_given_again, visit.kept, record.started)))
        await self._attempts.run(job.group, turn, answer)
        if record.model == job.group.name:  # what a fallback says is not the answer of this model
            visit.keep(turn, record.upstream or "", outlet.response.headers.get(IGNORED, ""))
        return None

    def _label(self, job: "_Job", deployment: Deployment) -> dict[str, str]:
        """The headers that tell who answers, and what of the request has no effect there."""
        record = job.record
        record.model, record.provider, record.upstream = deployment.name, deployment.provider, deployment.label
        self._metrics.moved(record)
        ignored = deployment.upstream.admit(job.call)
        if ignored and self._config.strict_params:
            raise InvalidRequest(f"{ignored[0]}: {deployment.name} cannot honour it", param=ignored[0])
        return {ANSWERED_BY: deployment.label, IGNORED: ", ".join(ignored)}

    async def _rounds(
        self, job: "_Job", turn: Turn, watched: Watched, sink: Sink, deployment: Deployment, has_fallback: bool
    ) -> None:
        """All rounds with one deployment. The first does not wait for the quota for long if it ``has_fallback``."""
        record = job.record
        passed_on = {self._config.correlation.header: record.correlation_id} if record.correlation_id else {}
        outgoing: Outgoing | None = None
        asked, waited = time.monotonic(), 0.0
        while True:
            spare = has_fallback and outgoing is None
            async with await self._dispatcher.admission(deployment, record.caller, has_fallback=spare) as admission:
                if outgoing is None:
                    waited = time.monotonic() - asked
                    outgoing = turn.begin(deployment.upstream, partial(_served, deployment, record.started))
                with self._observers.attempt(record, deployment) as attempt:
                    if turn.rounds == 1:
                        self._metrics.overhead(time.monotonic() - job.ready - waited, record)
                    headers = {**passed_on, **attempt.headers}
                    end = await self._round(turn, watched, sink, deployment, admission, outgoing, headers)
                    attempt.ended(end.error or end.mends)
            if wrong := end.error or end.mends:
                self._observers.failed(record, wrong)
            if end.error is not None:
                raise end.error
            if end.again is None:
                return
            outgoing = end.again

    async def _round(
        self,
        turn: Turn,
        watched: Watched,
        sink: Sink,
        deployment: Deployment,
        admission: Admission | None,
        outgoing: Outgoing,
        headers: Mapping[str, str],
    ) -> RoundEnd:
        """One request to an upstream and what it comes to. ``headers`` go along with the dialect's own."""
        try:
            async with watched.asking():
                with await self._dispatcher.send(deployment, outgoing, headers, admission, watched.sending) as reply:
                    end = await self._answer(turn, reply, sink, deployment.label)
        except Refused as refused:
            again = turn.refused(refused.error)
            end = RoundEnd(b"", again, mends=refused.error) if again else RoundEnd(b"", error=refused.error)
        if wrong := end.error or end.mends:
            wrong.redact(self._redact)
        return end

    async def _answer(self, turn: Turn, reply: Reply, sink: Sink, label: str) -> RoundEnd:
        opened, before = time.monotonic(), turn.events
        log.info("sse.connected", upstream=label, round=turn.rounds)
        try:
            end = await pump(reply, turn, sink)
            if end.out:
                await sink.write(end.out)
        finally:
            took = ms(time.monotonic() - opened)
            log.info("sse.closed", upstream=label, events=turn.events - before, duration_ms=took)
        if turn.upstream_ended:
            reply.settle()
        return end


@dataclass(frozen=True, slots=True)
class _Job:
    """One request that was understood. ``ready`` is when its body was there, ``visit`` its business with the cache."""

    record: Record
    call: Call
    group: Group
    ready: float
    visit: Visit | None


class _Streamed(web.StreamResponse):
    """Its headers go out together with what is written first."""

    _send_headers_immediately = False


class _Collected:
    """The sink of an answer that is told as a whole."""

    def __init__(self) -> None:
        self.data = bytearray()

    def send(self, data: bytes) -> bool:
        self.data += data
        return True

    async def write(self, data: bytes) -> None:
        self.data += data


def _as_proxy_error(problem: Exception) -> ProxyError:
    """The boundary of an answer: a fault of our own is logged and told like any other failure, so that a stream
    never just stops."""
    if isinstance(problem, ProxyError):
        return problem
    log.error("request.failed", exc_info=problem)
    return Internal("the proxy failed; its log says why")


def _served(deployment: Deployment, started: float) -> Served:
    return Served(deployment.provider, deployment.target, time.monotonic() - started)


def _given_again(kept: Kept, started: float) -> Served:
    provider, _, target = kept.upstream.partition("/")
    return Served(provider, target, time.monotonic() - started)
