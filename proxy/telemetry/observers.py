"""Those who are told of every inference request beside the log's own lines and the metrics. Each is there only when
it is switched on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from proxy.core.answer import Rendering
from proxy.core.call import Call
from proxy.dispatch.deployment import Deployment
from proxy.errors import ProxyError
from proxy.telemetry.encoding import safe_tool
from proxy.telemetry.record import Record
from proxy.telemetry.runs.records import RunRecords
from proxy.telemetry.texts import Texts
from proxy.telemetry.transcript import Overheard, Transcript

if TYPE_CHECKING:  # needs an extra at run time
    from proxy.telemetry.traces.tracer import Traces

log = structlog.get_logger()

Render = Callable[[Call], Rendering]


class Attempt(Protocol):
    """One request to an upstream, under way while the context lasts. ``headers`` go along with it."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def ended(self, error: ProxyError | None) -> None:
        """What it came to, when nothing is raised."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Observers:
    """``texts`` is there with ``LOG_MESSAGES``; ``overhears`` says that somebody wants to know what was answered."""

    traces: "Traces | None" = None
    run_records: RunRecords | None = None
    texts: Texts | None = None
    overhears: bool = False

    def began(self, record: Record, headers: Mapping[str, str]) -> None:
        """A request has come."""
        if self.traces is not None:
            self.traces.begin(record, headers)

    def overhearing(self, record: Record, call: Call, render: Render) -> Render:
        """``render``, or one that also notes what is told."""
        if self.texts is not None:
            log.info("request.messages", messages=self.texts.asked(call))
        if not self.overhears:
            return render

        def overheard(call: Call) -> Rendering:
            record.transcript = transcript = Transcript()
            return Overheard(render(call), transcript)

        return overheard

    def attempt(self, record: Record, deployment: Deployment) -> Attempt:
        """An upstream is about to be asked."""
        return UNWATCHED if record.span is None else record.span.attempt(record, deployment)

    def failed(self, record: Record, error: ProxyError) -> None:
        """A request to an upstream has failed. Its log line names the status and the code alone."""
        if self.texts is not None:
            log.info("upstream.message", upstream=record.upstream, code=error.code, message=error.message)

    def ended(self, record: Record) -> None:
        """All is over, whatever came of it."""
        if record.transcript is not None:
            self._tell(record.transcript)
        if self.run_records is not None:
            self.run_records.ended(record)
        if record.span is not None:
            record.span.end(record)

    def _tell(self, transcript: Transcript) -> None:
        for name, arguments in transcript.arguments_of_calls():
            log.debug("tool_call.arguments", name=safe_tool(name), arguments=arguments)
        if self.texts is not None:
            log.info("answer.text", **self.texts.answered(transcript))


class _Unwatched:
    """An attempt that nobody is told of."""

    headers: Mapping[str, str] = {}

    def ended(self, error: ProxyError | None) -> None: ...
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


UNWATCHED = _Unwatched()
