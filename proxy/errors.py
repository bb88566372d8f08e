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
        │   └── CallInDoubt     a call or an example of one
        ├── ToolChoiceNotMet    a call was required and none came
        ├── FormatNotMet        not the JSON that was asked for
        └── FormatNotChecked    too large to be checked

A class says what kind of failure it is (status, codes, whether another try could help); an instance says
what happened, in words meant for the caller. Nothing here knows a wire format.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Source = Literal["caller", "proxy", "upstream"]

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_MODEL = re.compile(r"[A-Za-z0-9_.:/@-]{1,64}")
_QUOTED = re.compile(r"'.*'|\".*\"|['\"].*", re.DOTALL)
"""From the first quotation mark to the last one of its kind; to the end where there is no other."""


def safe_code(value: object) -> str | None:
    """An error's code as an upstream gives it, if it is one word that logs, spans and labels may hold."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def safe_field(value: object) -> str | None:
    """The same of a field's name, such as ``messages[2].content``."""
    return value if isinstance(value, str) and _FIELD.fullmatch(value) else None


def safe_model(value: object) -> str | None:
    """The same of a model's name."""
    return value if isinstance(value, str) and _MODEL.fullmatch(value) else None


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

    def __init__(
        self, message: str, *, reason: str | None = None, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        """For the caller: no secrets, and no hosts of upstreams."""
        self.reason = reason or message
        """For logs, spans and records: nothing that a caller, a model or an upstream wrote, but for an upstream's
        code. Hosts are named."""
        self.param = param
        self.retry_after = retry_after
        self.fields: Mapping[str, object] = {}
        """What the caller's error body has in place of the proxy's own ``type``, ``param`` and ``code``."""

    def redact(self, mask: Callable[[str], str]) -> None:
        """Mask secrets in all that others had a hand in."""
        self.message, self.reason = mask(self.message), mask(self.reason)


class CallerError(ProxyError):
    source = "caller"
    status = 400
    type = "invalid_request_error"
    code: str | None = None
    end_reason = "rejected"
    hopeless = True


class InvalidRequest(CallerError):
    """The message may quote what the caller sent; the reason does not."""

    def __init__(self, message: str, *, reason: str | None = None, param: str | None = None) -> None:
        super().__init__(message, reason=reason or _without_quotes(message), param=param)


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
    """What a provider says of the request itself, with its own status.

    ``fields`` are its own, for the caller. ``type``, ``param`` and ``code`` are the same where they are safe to log.
    """

    end_reason = "upstream_error"

    def __init__(self, message: str, *, status: int, fields: Mapping[str, object], reason: str | None = None) -> None:
        super().__init__(message, reason=reason)
        self.status = status
        self._show(fields)

    def redact(self, mask: Callable[[str], str]) -> None:
        super().redact(mask)
        self._show({name: mask(value) if isinstance(value, str) else value for name, value in self.fields.items()})

    def _show(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self.type = safe_code(fields.get("type")) or CallerError.type
        self.param = safe_field(fields.get("param"))
        self.code = safe_code(fields.get("code"))


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

    def __init__(
        self, message: str, *, reason: str | None = None, status: int = 502, retry_after: int | None = None
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)
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
    wrong with it. Nothing written is nothing to show: then there is no use in asking again. ``summary`` is the message
    without ``fault``. Both may quote the answer: callers are told, logs are not."""

    type = "upstream_error"
    code = "invalid_answer"
    end_reason = "invalid_answer"
    hopeless = True
    blames = False

    def __init__(self, message: str, *, written: str = "", fault: str = "") -> None:
        super().__init__(f"{message}: {fault}" if fault else message, reason=_without_quotes(message))
        self.summary = message
        self.written = written
        self.fault = fault


@dataclass(frozen=True, slots=True)
class LaterCall:
    """A call that was read after one that cannot be read. ``arguments`` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


class ToolCallUnreadable(InvalidAnswer):
    """``later`` are calls that go out once this one is repaired."""

    code = "tool_call_parse_error"

    def __init__(self, message: str, *, written: str = "", fault: str = "", later: tuple[LaterCall, ...] = ()) -> None:
        super().__init__(message, written=written, fault=fault)
        self.later = later


class CallInDoubt(ToolCallUnreadable):
    """What the model wrote may be a call or an example of one. It is asked, and may answer in words."""


class ToolChoiceNotMet(InvalidAnswer):
    code = "tool_choice_not_met"


class FormatNotMet(InvalidAnswer):
    code = "response_format_not_met"


class FormatNotChecked(InvalidAnswer):
    """Too large for its schema, or at all, to be checked while others wait."""

    code = "response_format_not_checked"

    def __init__(self, fault: str) -> None:
        super().__init__("the answer cannot be checked against the JSON asked for", fault=fault)


def _without_quotes(message: str) -> str:
    return _QUOTED.sub("***", message)
