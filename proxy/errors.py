"""Every way a request can fail, as one tree.

ProxyError
├── CallerError                 the caller asked for something wrong
│   ├── InvalidRequest          400, ``param`` names the field
│   │   ├── BodyUnreadable      400
│   │   ├── OriginRefused       403, a page of an origin that is not listed
│   │   └── HostRefused         403, a public name under which a proxy without a key does not answer
│   ├── CorrelationMissing      400
│   ├── CorrelationInvalid      400
│   ├── InvalidKey              401
│   ├── UnknownModel            404
│   ├── UnknownRoute            404
│   ├── WrongMethod             405
│   ├── BodyTooLarge            413
│   ├── BodyTooSlow             408
│   ├── ExpectationFailed       417
│   ├── WriteStall              the caller does not read its answer
│   ├── ContextTooLong          400, found out by the upstream
│   └── PassedOn                400, 413 or 422 of a provider, in its own words
├── ServiceError                the proxy itself
│   ├── Internal                500
│   ├── TooManyStreams          429
│   ├── QuotaExceeded           429, its turn would not come in time
│   ├── KeyLimitExceeded        429, the caller's key has had its requests of this minute
│   ├── Draining                503: another replica may take the request, nobody has begun it
│   ├── TooManyConnections      503, likewise; no other error has this status
│   └── CutOff                  504, begun, and not ended when the drain was over
└── UpstreamError               whoever answers the model call
    ├── UpstreamAuth            502, it refuses our credentials
    ├── UpstreamForbidden       502
    ├── UpstreamNotFound        502
    ├── UpstreamRejected        502, it calls our request wrong
    ├── UpstreamRateLimited     429
    ├── CreditSpent             429
    ├── UpstreamFailed          502 or 504, a 5xx of its own
    ├── UpstreamUnreachable     502, no connection
    ├── UpstreamDisconnected    502, the connection was lost before the answer began
    ├── UpstreamTLS             502
    ├── UpstreamTruncated       502, the answer stopped before its end
    ├── UpstreamBroken          502, an error or nonsense inside the answer
    ├── ConnectTimeout, FirstTokenTimeout, IdleTimeout, TotalTimeout   504
    └── InvalidAnswer           502, whole, but not what was asked for
        ├── ToolCallUnreadable
        ├── ToolChoiceNotMet    a call was required and none came
        ├── FormatNotMet        not the JSON that was asked for
        └── FormatNotChecked    too large to be checked

A class says what kind of failure it is (status, codes, whether another try could help); an instance says
what happened, in words meant for the caller. Nothing here knows a wire format.
"""

import re
from collections.abc import Sequence
from typing import ClassVar, Literal

Source = Literal["caller", "proxy", "upstream"]

_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)


class ProxyError(Exception):
    """A failure that a caller is told about.

    ``retry_after`` is in whole seconds. ``end_reason`` is the label of ``proxy_stream_ends_total``.
    ``hopeless`` failures are those that the same request will meet again, so nobody should repeat it. After one
    that is ``repeatable`` the proxy itself may send the request again, since nothing was generated; after one
    that is ``elsewhere``, to another model. ``blames`` the deployment: too many of these and it is left alone.
    """

    source: ClassVar[Source] = "proxy"
    status: int = 500
    type: str = "server_error"
    code: str | None = "internal_error"
    end_reason: ClassVar[str] = "internal_error"
    hopeless: ClassVar[bool] = False
    repeatable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    blames: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = message
        """What may be logged of it: nothing that a caller or a model wrote."""
        self.param = param
        self.retry_after = retry_after


class CallerError(ProxyError):
    source = "caller"
    status = 400
    type = "invalid_request_error"
    code: str | None = None
    end_reason = "rejected"
    hopeless = True


class InvalidRequest(CallerError):
    """The message may quote what the caller sent; the reason does not."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.reason = _QUOTED.sub("***", message)


class BodyUnreadable(InvalidRequest):
    """The body is not what its headers say, so nobody knows where the next request begins."""


class CorrelationMissing(CallerError):
    code = "correlation_id_missing"


class CorrelationInvalid(CallerError):
    code = "correlation_id_invalid"


class InvalidKey(CallerError):
    status = 401
    code = "invalid_api_key"


class OriginRefused(InvalidRequest):
    status = 403
    code = "origin_not_allowed"


class HostRefused(InvalidRequest):
    status = 403
    code = "host_not_allowed"


class UnknownModel(CallerError):
    status = 404
    code = "model_not_found"


class UnknownRoute(CallerError):
    status = 404
    code = "not_found"


class WrongMethod(CallerError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class BodyTooLarge(CallerError):
    status = 413
    code = "request_too_large"


class BodyTooSlow(CallerError):
    status = 408
    code = "request_timeout"
    end_reason = "request_timeout"
    hopeless = False


class ExpectationFailed(CallerError):
    """RFC 9110, 10.1.1: the header Expect holds something else than ``100-continue``."""

    status = 417
    code = "expectation_failed"


class WriteStall(CallerError):
    status = 499
    code = "write_stall"
    end_reason = "write_stall"


class ContextTooLong(CallerError):
    """``room`` is the part of the prompt that would have fitted, between 0 and 1, when the upstream said so."""

    code = "context_length_exceeded"
    end_reason = "upstream_error"

    def __init__(self, message: str, *, room: float | None = None) -> None:
        super().__init__(message)
        self.room = room


class PassedOn(CallerError):
    """What a provider says of the request itself, in its own words and with its own status."""

    end_reason = "upstream_error"

    def __init__(self, message: str, *, status: int, type: str | None, code: str | None, param: str | None) -> None:
        super().__init__(message, param=param)
        self.status = status
        self.type = type or "invalid_request_error"
        self.code = code


class ServiceError(ProxyError):
    pass


class Internal(ServiceError):
    pass


class TooManyStreams(ServiceError):
    status = 429
    end_reason = "rejected"
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QuotaExceeded(ServiceError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    end_reason = "rejected"
    elsewhere = True


class KeyLimitExceeded(ServiceError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    end_reason = "rejected"


class Draining(ServiceError):
    """With ``TooManyConnections`` the only 503. Whatever stands in front may give the request to another replica: this
    one has sent nothing on."""

    status = 503
    code = "shutting_down"
    end_reason = "shutdown"


class TooManyConnections(ServiceError):
    """The request came on a connection above ``limits.max_connections``. Nothing was sent on."""

    status = 503
    code = "too_many_connections"
    end_reason = "rejected"


class CutOff(ServiceError):
    """Its upstream may have generated, so nobody but the caller should repeat it."""

    status = 504
    code = "shutting_down"
    end_reason = "shutdown"


class UpstreamError(ProxyError):
    """``type`` decides whether coding agents repeat: OpenCode and Continue do after ``server_error`` only."""

    source = "upstream"
    status = 502
    type = "server_error"
    code = "upstream_error"
    end_reason = "upstream_error"
    blames = True


class UpstreamAuth(UpstreamError):
    type = "upstream_error"
    code = "upstream_auth"
    hopeless = True


class UpstreamForbidden(UpstreamError):
    type = "upstream_error"
    code = "upstream_forbidden"
    hopeless = True


class UpstreamNotFound(UpstreamError):
    type = "upstream_error"
    code = "upstream_not_found"
    hopeless = True


class UpstreamRejected(UpstreamError):
    type = "upstream_error"
    code = "upstream_rejected"
    hopeless = True
    blames = False


class UpstreamRateLimited(UpstreamError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    repeatable = True
    elsewhere = True


class CreditSpent(UpstreamError):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    hopeless = True
    elsewhere = True


class UpstreamFailed(UpstreamError):
    code = "upstream_failed"
    repeatable = True
    elsewhere = True

    def __init__(self, message: str, *, status: int = 502, retry_after: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = 504 if status == 504 else 502  # 503 is said of the proxy alone: see Draining


class UpstreamUnreachable(UpstreamError):
    code = "upstream_unreachable"
    repeatable = True
    elsewhere = True


class UpstreamDisconnected(UpstreamError):
    """The request was sent and not answered. The upstream may have generated, so only the client may repeat it."""

    code = "upstream_disconnected"


class UpstreamTLS(UpstreamError):
    type = "upstream_error"
    code = "upstream_tls"
    hopeless = True


class UpstreamTruncated(UpstreamError):
    code = "upstream_truncated"
    end_reason = "upstream_truncated"


class UpstreamBroken(UpstreamError):
    code = "upstream_stream_error"


class ConnectTimeout(UpstreamError):
    status = 504
    code = "connect_timeout"
    end_reason = "connect_timeout"
    repeatable = True
    elsewhere = True


class FirstTokenTimeout(UpstreamError):
    status = 504
    code = "first_token_timeout"
    end_reason = "first_token_timeout"
    elsewhere = True


class IdleTimeout(UpstreamError):
    status = 504
    code = "idle_timeout"
    end_reason = "idle_timeout"


class TotalTimeout(UpstreamError):
    status = 504
    code = "total_timeout"
    end_reason = "total_timeout"
    blames = False


class InvalidAnswer(UpstreamError):
    """An answer that the model may put right when it is shown ``written``, what it wrote, and ``fault``, what is
    wrong with it. Nothing written is nothing to show: then there is no use in asking again. ``fault`` may quote
    the answer: callers are told, logs are not."""

    type = "upstream_error"
    code = "invalid_answer"
    end_reason = "invalid_answer"
    hopeless = True
    blames = False

    def __init__(self, message: str, *, written: str = "", fault: str = "") -> None:
        super().__init__(f"{message}: {fault}" if fault else message)
        self.reason = message
        self.written = written
        self.fault = fault


class ToolCallUnreadable(InvalidAnswer):
    code = "tool_call_parse_error"


class ToolChoiceNotMet(InvalidAnswer):
    code = "tool_choice_not_met"


class FormatNotMet(InvalidAnswer):
    code = "response_format_not_met"


class FormatNotChecked(InvalidAnswer):
    """Too large for its schema, or at all, to be checked while others wait."""

    code = "response_format_not_checked"

    def __init__(self, fault: str) -> None:
        super().__init__("the answer cannot be checked against the JSON asked for", fault=fault)
