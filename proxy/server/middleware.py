"""What every request passes through: an account of it, errors as JSON, the caller's key, the correlation id."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.config import Config
from proxy.core.callers.chat import Chat
from proxy.core.dialect import Caller
from proxy.errors import (
    BodyTooLarge,
    BodyTooSlow,
    BodyUnreadable,
    CorrelationInvalid,
    CorrelationMissing,
    CutOff,
    Draining,
    Internal,
    InvalidRequest,
    ProxyError,
    TooManyConnections,
    TooManyStreams,
    UnknownRoute,
    WrongMethod,
)
from proxy.server import correlation
from proxy.server.admission import ADMITTED, Admission
from proxy.server.body import read_body
from proxy.server.connection import Connection
from proxy.server.keys import HOLDER, KeyRing
from proxy.server.ops import PROBES
from proxy.server.state import RECORD, State
from proxy.server.watchdog import Watchdog
from proxy.telemetry import events
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.observers import Observers
from proxy.telemetry.record import Record

log = structlog.get_logger()

OPERATORS = frozenset({"/metrics", "/"})
"""Where operators have a port of their own, these are only there."""
OPEN_ROUTES = PROBES | OPERATORS
"""Those that need no key."""
CALLER_LEFT = 499


def account(inference: Mapping[str, Caller], config: Config, metrics: Metrics, observers: Observers) -> Middleware:
    """Outermost: keeps a ``Record``, and turns it into one log line and the metrics at the end."""
    header = config.correlation.header

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        record = Record(secrets.token_hex(12), resource.canonical if resource else "other", time.monotonic())
        request[RECORD] = record
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=record.id)
        if correlation.VALID.fullmatch(sent := request.headers.get(header, "")):
            record.correlation_id = sent
            structlog.contextvars.bind_contextvars(correlation_id=sent)
        asks = request.path in inference and request.method == "POST"
        if asks:
            observers.began(record, request.headers)
        status = CALLER_LEFT
        try:
            response = await handler(request)
            status = response.status
            return response
        except (asyncio.CancelledError, ConnectionError):
            record.left = record.error is None
            raise asyncio.CancelledError from None  # aiohttp takes anything else for a fault of ours
        finally:
            record.over(status)
            metrics.request(record)
            if request.path in inference:
                events.request_ended(record, metrics)
            elif record.error is not None:
                events.failed(record, record.error, metrics)
            if asks:
                observers.ended(record)
            if record.error is not None:
                record.error.__traceback__ = None  # its frames hold it: a circle that only the collector opens

    return middleware


def refuse(inference: Mapping[str, Caller]) -> Middleware:
    """The one place where errors become responses, in the dialect of the route."""
    elsewhere = Chat()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except ProxyError as problem:
            error = problem
        except web.HTTPException as problem:
            if problem.status < 400:
                raise
            error = _of_aiohttp(request, problem)
        except Exception:  # the boundary of the server: logged with its traceback, told without
            log.exception("request.failed")
            error = Internal("the proxy failed; its log says why")
        request[RECORD].error = error
        refusal = inference.get(request.path, elsewhere).refuse(error)
        headers = dict(refusal.headers)
        if isinstance(error, WrongMethod):
            headers["allow"] = ", ".join(error.allowed)
        response = web.Response(status=refusal.status, headers=headers, body=refusal.body)
        unread = isinstance(error, TooManyStreams) and not request.content.is_eof()
        if unread or isinstance(error, Draining | CutOff | BodyTooLarge | BodyTooSlow | BodyUnreadable):
            response.force_close()  # all but the first two leave a body behind that nobody reads
        return response

    return middleware


def _of_aiohttp(request: web.Request, problem: web.HTTPException) -> ProxyError:
    if isinstance(problem, web.HTTPMethodNotAllowed):
        allowed = sorted(problem.allowed_methods)
        return WrongMethod(f"{request.path[:200]!r} takes {', '.join(allowed)}, not {request.method}", allowed)
    if problem.status == 404:
        return UnknownRoute(f"there is no {request.method} {request.path[:200]!r} here")
    return InvalidRequest(problem.text or problem.reason)


def keep_apart() -> Middleware:
    """Operators' routes are not there for a connection that is for callers alone."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        if request.path in OPERATORS and isinstance(connection, Connection) and not connection.operators:
            raise UnknownRoute(f"there is no {request.method} {request.path!r} here")
        return await handler(request)

    return middleware


def authorize(config: Config) -> Middleware:
    """Where keys are configured, everything but the page, probes and metrics needs one; its name is noted."""
    keys = KeyRing(config)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_ROUTES:
            request[HOLDER] = holder = keys.holder(request.headers)
            if holder.name:
                request[RECORD].caller = holder.name
                structlog.contextvars.bind_contextvars(caller=holder.name)
        return await handler(request)

    return middleware


def admit(
    inference: Mapping[str, Caller], config: Config, state: State, admission: Admission, watchdog: Watchdog
) -> Middleware:
    """Admit inference requests before their bodies are read: within the limits, and none while the proxy drains. A
    reserved connection may ask for probes, metrics and the page only."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, Connection) and connection.reserved and request.path not in OPEN_ROUTES:
            raise TooManyConnections("the proxy has as many connections as it may; try again shortly", retry_after=1)
        if request.path not in inference:
            return await handler(request)
        if state.draining:
            raise Draining("the proxy is shutting down; another one will take this", retry_after=1)
        if request.method != "POST":
            return await handler(request)
        with admission.admit(config.limits) as admitted:
            request[ADMITTED] = admitted
            async with watchdog.arrival(request[RECORD]):
                return await handler(request)

    return middleware


def correlate(inference: Mapping[str, Caller], config: Config, metrics: Metrics) -> Middleware:
    """Inference needs a correlation id; it is bound to every log line and sent on."""
    rule = config.correlation

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in inference or request.method != "POST":
            return await handler(request)
        try:
            found = correlation.of_header(rule, request.headers) or correlation.of_session_header(rule, request.headers)
            if found is None and rule.also_accept:
                body = await read_body(request, config.timeouts.request_body)
                found = correlation.of_session_field(rule, body)
            if found is None and rule.required and inference[request.path].correlated:
                raise correlation.missing(rule)
        except CorrelationMissing:
            metrics.correlation_rejected("missing")
            raise
        except CorrelationInvalid:
            metrics.correlation_rejected("invalid")
            raise
        record = request[RECORD]
        if found is None or found != record.correlation_id:
            record.correlation_id = found or record.id
            structlog.contextvars.bind_contextvars(correlation_id=record.correlation_id)
        return await handler(request)

    return middleware


def label_responses(config: Config) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A signal: every response names its request, and carries the correlation id back."""

    async def signal(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["server"] = "stackspot-proxy"
        record = request.get(RECORD)
        if record is not None:
            response.headers["x-request-id"] = record.id
            if record.correlation_id is not None:
                response.headers[config.correlation.header] = record.correlation_id

    return signal
