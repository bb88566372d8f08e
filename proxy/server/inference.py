"""The way of one inference request, from its body to the end of its answer."""

import time
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from proxy.config import Config
from proxy.core.answer import Rendering
from proxy.core.call import Call
from proxy.core.dialect import Caller, Outgoing
from proxy.core.turn import RoundEnd, Turn
from proxy.dispatch.dispatcher import Dispatcher, Refused
from proxy.dispatch.router import Deployment, Router
from proxy.dispatch.transport import Reply
from proxy.errors import Internal, InvalidRequest, ProxyError, TooManyStreams
from proxy.server.body import read_body
from proxy.server.outlet import Outlet
from proxy.server.pump import Write, pump
from proxy.server.state import RECORD
from proxy.server.watchdog import Watchdog
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.record import Record

log = structlog.get_logger()

IGNORED = "x-proxy-ignored-params"
ANSWERED_BY = "x-proxy-upstream-model"
USAGE = "x-proxy-usage"
STREAMED = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class Inference:
    """Serves the routes of one caller's dialect."""

    def __init__(
        self,
        caller: Caller,
        config: Config,
        router: Router,
        dispatcher: Dispatcher,
        watchdog: Watchdog,
        metrics: Metrics,
    ) -> None:
        self._caller = caller
        self._config = config
        self._router = router
        self._dispatcher = dispatcher
        self._watchdog = watchdog
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        record = request[RECORD]
        body = await read_body(request, self._config.timeouts.request_body)
        ready = time.monotonic()
        call = replace(self._caller.read(body, record.id, int(time.time())), conversation=record.correlation_id)
        deployment = self._router.find(call.model)
        record.model = deployment.name
        headers = {ANSWERED_BY: deployment.label} | self._ignored(call, deployment)
        if len(self._watchdog) >= self._config.limits.max_streams:
            raise TooManyStreams("the proxy serves as many answers as it may; try again shortly", retry_after=1)
        record.provider, record.upstream = deployment.provider, deployment.label
        job = _Job(record, call, deployment, headers, ready)
        return await (self._stream(request, job) if call.stream else self._whole(request, job))

    def _ignored(self, call: Call, deployment: Deployment) -> dict[str, str]:
        ignored = deployment.upstream.admit(call)
        if ignored and self._config.strict_params:
            raise InvalidRequest(f"{ignored[0]}: {deployment.name} cannot honour it", param=ignored[0])
        return {IGNORED: ", ".join(ignored)} if ignored else {}

    async def _stream(self, request: web.Request, job: "_Job") -> web.StreamResponse:
        turn = self._turn(job, self._caller.stream(job.call))
        outlet = Outlet(request, job.record, web.StreamResponse(headers=STREAMED | job.headers))
        try:
            async with self._watchdog.watch(turn, outlet):
                await self._converse(job, turn, outlet.write)
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
            async with self._watchdog.watch(turn, outlet):
                await outlet.write(out)
                await outlet.close()
        except ProxyError:  # they are not read either
            outlet.abort()
            raise ConnectionResetError from None

    async def _whole(self, request: web.Request, job: "_Job") -> web.StreamResponse:
        turn = self._turn(job, self._caller.whole(job.call))
        body = bytearray()

        async def collect(data: bytes) -> None:
            body.extend(data)

        async with self._watchdog.watch(turn, None):
            await self._converse(job, turn, collect)
        headers = job.headers | {"content-type": "application/json"}
        if turn.usage.estimated:
            headers[USAGE] = "estimated"
        job.record.sent = len(body)
        outlet = Outlet(request, job.record, web.Response(body=bytes(body), headers=headers))
        try:
            async with self._watchdog.watch(turn, outlet):
                await outlet.close()
        except ProxyError as error:
            job.record.error = error
            outlet.abort()
            raise ConnectionResetError from None
        return outlet.response

    def _turn(self, job: "_Job", rendering: Rendering) -> Turn:
        job.record.turn = turn = Turn(job.call, rendering, self._config.max_upstream_calls)
        return turn

    async def _converse(self, job: "_Job", turn: Turn, write: Write) -> None:
        """All rounds of a request. Raises the ``ProxyError`` that ended it."""
        deployment, correlation_id = job.deployment, job.record.correlation_id
        passed_on = {self._config.correlation.header: correlation_id} if correlation_id else {}
        outgoing: Outgoing | None = turn.begin(deployment.upstream)
        self._metrics.overhead(time.monotonic() - job.ready)
        while outgoing is not None:
            try:
                async with self._dispatcher.send(deployment, outgoing, passed_on) as reply:
                    end = await self._round(turn, reply, write, deployment.label)
            except Refused as refused:
                outgoing = turn.refused(refused.error)
                if outgoing is None:
                    raise refused.error from None
                continue
            if end.error is not None:
                raise end.error
            outgoing = end.again

    async def _round(self, turn: Turn, reply: Reply, write: Write, label: str) -> RoundEnd:
        opened = time.monotonic()
        log.info("sse.connected", upstream=label, round=turn.rounds)
        end = await pump(reply, turn, write)
        if end.out:
            await write(end.out)
        log.info("sse.closed", upstream=label, events=turn.round_events, duration_ms=_ms(time.monotonic() - opened))
        if turn.upstream_ended:
            reply.settle()
        return end


@dataclass(frozen=True, slots=True)
class _Job:
    """One request that was understood. ``headers`` are those of its response; ``ready`` is when its body was there."""

    record: Record
    call: Call
    deployment: Deployment
    headers: dict[str, str]
    ready: float


def _as_proxy_error(problem: Exception) -> ProxyError:
    """The boundary of an answer: a fault of our own is logged and told like any other failure, so that a stream
    never just stops."""
    if isinstance(problem, ProxyError):
        return problem
    log.error("request.failed", exc_info=problem)
    return Internal("the proxy failed; its log says why")


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
