"""One caller's connection, as aiohttp serves it, with what aiohttp leaves out: a time for the heads of requests, and
errors of its own in the form of all others."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import http_exceptions, web

from proxy.config.settings import Timeouts
from proxy.core.callers.chat import refuse
from proxy.errors import Internal, InvalidRequest, ProxyError

log = structlog.get_logger()

SERVER = "stackspot-proxy"
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """A request's head has to be there ``head_timeout`` seconds after its first byte; the first one of a connection
    after that was opened. How long a connection may be idle between two requests is aiohttp's matter. ``operators``
    says that it may ask for their routes, ``behind`` that its caller does not keep up with what is written."""

    __slots__ = ("_answering", "_begun", "_head_timeout", "_look", "_waiting_since", "behind", "operators")

    def __init__(self, server: web.Server, head_timeout: float, *, operators: bool) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # one line a request is written by the middleware
            auto_decompress=False,  # a bomb would go on being unpacked behind its refusal
            lingering_time=min(10.0, head_timeout / 2),  # for what still comes behind an answer
        )
        self.operators = operators
        self.behind = False
        self._head_timeout = head_timeout
        self._waiting_since: float | None = None
        """Since when, by the loop's clock, a head is awaited that has begun or is the first."""
        self._look: asyncio.TimerHandle | None = None
        self._answering = False
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._waiting_since = loop.time()
        self._look = loop.call_later(self._head_timeout, self._check)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not (self._begun or self._answering):
            self._begun = True
            if self._waiting_since is None:
                self._waiting_since = asyncio.get_running_loop().time()
        super().data_received(data)

    def pause_writing(self) -> None:
        self.behind = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.behind = False
        super().resume_writing()

    def begin_answer(self) -> None:
        """The head of a request was whole, which is dealt with from now on."""
        self._answering = True
        self._waiting_since = None

    def end_answer(self) -> None:
        self._answering = self._begun = False

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
        return _rejected(f"this is no HTTP request: {_gist(exc, message)}", log.debug if scanned else log.warning)

    def _check(self) -> None:
        """Every now and then, rather than a timer for each request."""
        loop = asyncio.get_running_loop()
        since = self._waiting_since
        left = self._head_timeout if since is None else since + self._head_timeout - loop.time()
        if left > 0:
            self._look = loop.call_later(left, self._check)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self.transport is None:
            return
        if self._begun:
            reason = f"the head of a request did not arrive within {self._head_timeout:g} s"
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
                response = _rejected("the header Expect asks for something that is not known here", log.warning)
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


def _rejected(reason: str, tell: Callable[..., object]) -> web.Response:
    error = InvalidRequest(reason)
    tell("request.rejected", status=error.status, code=error.code, reason=error.reason)
    return refusal(error)


def _gist(exc: BaseException | None, message: str | None) -> str:
    """What aiohttp says of it, without what it quotes."""
    if isinstance(exc, http_exceptions.InvalidURLError):
        return "its target is no URL"
    return (message or "").partition(":")[0].replace("'", "").strip(" .") or "it cannot be read"
