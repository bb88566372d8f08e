"""One caller's connection, as aiohttp serves it, with what aiohttp leaves out: a time for the heads of requests, and
errors of its own in the form of all others."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import StreamReader, http_exceptions, web
from aiohttp.http import HttpRequestParser

from proxy.config.settings import Timeouts
from proxy.core.callers.chat import refuse
from proxy.errors import ExpectationFailed, Internal, InvalidRequest, ProxyError
from proxy.server.half_close import HalfClose
from proxy.server.heads import BoundedParser, Parser
from proxy.server.tcp import acknowledged

log = structlog.get_logger()

SERVER = "stackspot-proxy"
QUEUE = 2
"""Requests read ahead of the one being answered; then reading is paused."""
LINE_LIMIT = 8190
FIELDS_LIMIT = 128
IDLE_S = 75.0
"""Longer than the 60 s of load balancers, which then close first; aiohttp's own are an hour."""
RESERVED_HEAD_S = 2.0
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """A request's head has to be there ``head_timeout`` seconds after its first byte; the first one of a connection
    after that was opened. A connection may be idle for ``IDLE_S`` between two requests. ``operators`` says that it may
    ask for their routes, ``behind`` that its caller does not keep up with what is written. A ``reserved`` one is above
    the limit of connections: it may ask for probes, once, and soon. ``on_lost`` is called when it is closed."""

    __slots__ = (
        "_answering",
        "_begun",
        "_body",
        "_look",
        "_on_lost",
        "_unanswered",
        "_waiting_since",
        "behind",
        "half_close",
        "head_timeout",
        "made",
        "operators",
        "reserved",
    )

    def __init__(
        self,
        server: web.Server,
        head_timeout: float,
        *,
        operators: bool,
        reserved: bool = False,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_S,
            access_log=None,  # type: ignore[arg-type]  # one line a request is written by the middleware
            auto_decompress=False,  # a bomb would go on being unpacked behind its refusal
            lingering_time=min(10.0, head_timeout / 2),  # for what still comes behind an answer
        )
        self._bound_heads()
        self.operators = operators
        self.reserved = reserved
        self.behind = False
        self.made = False
        self.head_timeout = min(head_timeout, RESERVED_HEAD_S) if reserved else head_timeout
        self._on_lost = on_lost
        self._waiting_since: float | None = None
        """Since when, by the loop's clock, a head is awaited that has begun or is the first."""
        self._look: asyncio.TimerHandle | None = None
        self._answering = False
        self._begun = False
        self._unanswered = False
        """There are requests whose answers are not over."""
        self._body: StreamReader | None = None
        """Of the last request that was read."""
        self.half_close = HalfClose(self._loop)

    def _bound_heads(self) -> None:
        """Replace aiohttp's parser and its queue of 32 requests of up to 1 MB each."""
        parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=FIELDS_LIMIT,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=QUEUE,
        )
        self._parser = cast(Any, BoundedParser(cast(Parser, parser)))
        self._max_msg_queue_size = QUEUE
        self._msg_queue_resume_size = QUEUE - 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = True
        super().connection_made(transport)
        self._waiting_since = self._loop.time()
        self._look = self._loop.call_later(self.head_timeout, self._check)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._look is not None:
            self._look.cancel()
        self.half_close.cancel()
        super().connection_lost(exc)
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        if not (self._begun or self._answering):
            self._begun = True
            if self._waiting_since is None:
                self._waiting_since = self._loop.time()
        super().data_received(data)
        if self._messages:
            self._unanswered = True
            self._body = self._messages[-1][1]
        if self._buffer_paused:
            self.half_close.watch(self)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp closes in any case
        """Keep writing to a client that has sent whole requests and shut down its side. asyncio's TLS cannot."""
        plain = self.transport is not None and self.transport.get_extra_info("sslcontext") is None
        if not plain or not self._unanswered or self._body is None or not self._body.is_eof():
            return False
        if not self.half_close.seen:
            self.half_close.seen = True
            self.half_close.probe(self)
        return True

    def pause_writing(self) -> None:
        self.behind = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.behind = False
        super().resume_writing()

    def taken(self) -> tuple[int, int]:
        """Two numbers that stay as they are while the client takes nothing: bytes that its system has acknowledged,
        where that is known, and bytes that ours has not taken yet."""
        transport = self.transport
        return (0, 0) if transport is None else (acknowledged(transport), transport.get_write_buffer_size())

    def begin_answer(self) -> None:
        """The head of a request was whole, which is dealt with from now on."""
        self._answering = True
        self._waiting_since = None
        if self.half_close.seen:
            self.half_close.probe(self)

    def end_answer(self) -> None:
        self._answering = self._begun = False
        self.half_close.comment = None
        self.half_close.cancel()
        if not self._messages:
            self._unanswered = False
            if self.half_close.seen:  # there are no more requests
                self.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What no handler gets to see: mostly requests that are none."""
        if request.writer.output_size:
            raise ConnectionResetError("an answer has gone out already")
        if status >= 500:
            log.error("request.failed", exc_info=exc)
            return refusal(Internal("the proxy failed; its log says why"))
        scanned = isinstance(exc, http_exceptions.BadHttpMethod)  # not even a method: TLS, or a look at all ports
        error = InvalidRequest(f"this is no HTTP request: {_gist(exc, message)}")
        return _rejected(error, log.debug if scanned else log.warning)

    def _check(self) -> None:
        """Every now and then, rather than a timer for each request."""
        since = self._waiting_since
        left = self.head_timeout if since is None else since + self.head_timeout - self._loop.time()
        if left > 0:
            self._look = self._loop.call_later(left, self._check)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self.transport is None:
            return
        if self._begun:
            reason = f"the head of a request did not arrive within {self.head_timeout:g} s"
            log.warning("request.rejected", status=408, code="request_timeout", reason=reason)
        self.transport.abort()


def telling(answer: Handler, timeouts: Callable[[], Timeouts]) -> Handler:
    """``answer``, which also tells connections what they are at, and sends what is returned within the time that a
    caller has to read it."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection), "it is made for no others"
        connection.begin_answer()
        try:
            try:
                response = await answer(request)
            except web.HTTPException:  # aiohttp's own, raised before any middleware
                response = _rejected(ExpectationFailed("expect: only 100-continue is known here"), log.warning)
            if connection.reserved:
                response.force_close()
            if not response.prepared:
                await _send(request, response, timeouts().write_stall)
        finally:
            connection.end_answer()
        return response

    return handle


async def _send(request: web.BaseRequest, response: web.StreamResponse, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:  # it is not read
        if request.transport is not None:
            request.transport.abort()
        raise asyncio.CancelledError from None


def refusal(error: ProxyError) -> web.Response:
    """An error on a connection that is of no further use."""
    told = refuse(error)
    response = web.Response(status=told.status, headers={**told.headers, "server": SERVER}, body=told.body)
    response.force_close()
    return response


def _rejected(error: ProxyError, tell: Callable[..., object]) -> web.Response:
    tell("request.rejected", status=error.status, code=error.code, reason=error.reason)
    return refusal(error)


def _gist(exc: BaseException | None, message: str | None) -> str:
    """What aiohttp says of it, without what it quotes."""
    if isinstance(exc, http_exceptions.InvalidURLError):
        return "its target is no URL"
    return (message or "").partition(":")[0].replace("'", "").strip(" .") or "it cannot be read"
