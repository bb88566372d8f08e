"""Upstreams' streams as they came, with their timing, for the simulator's ``--replay``."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from proxy.config import Config
from proxy.config.providers import STACKSPOT
from proxy.config.secrets import identifiers_of, secrets_of
from proxy.dispatch.deployment import Deployment
from proxy.telemetry.backlog import Backlog
from proxy.telemetry.capture.recordings import Ending, Recording, Recordings, prune

log = structlog.get_logger()

STREAM_LIMIT = 1024 * 1024
"""Bytes of one stream; a longer one is not kept."""
HELD_LIMIT = 64 * 1024 * 1024
"""Bytes of all streams that are under way, and as many again of those that wait to be written."""
STREAMS_WAITING = 1000
CLOSE_S = 2.0


class Capture:
    """Keeps each reply of an upstream in a file of its own: StackSpot's in ``folder``, those of other providers in
    folders of their names below it. Scrubbing and writing are done in a thread. What goes beyond the limits is not
    kept; no answer waits for it."""

    def __init__(self, folder: Path, config: Config) -> None:
        hidden = [value.encode() for value in (*secrets_of(config), *identifiers_of(config))]
        self._folder = folder
        self._recordings = Recordings(hidden, keep_text=config.log_messages)
        self._count = 0
        self._held = 0
        self._failing = False
        self._backlog: Backlog[Tape] = Backlog(self._write, name="capture", items=STREAMS_WAITING, weight=HELD_LIMIT)

    def asked(self, deployment: Deployment) -> "Tape":
        """A request is about to go out."""
        self._count += 1
        folder = self._folder if deployment.provider == STACKSPOT else self._folder / deployment.provider
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{self._count:06}.json"
        return Tape(self, folder / name, deployment.provider)

    def holds(self, size: int) -> bool:
        """Counts ``size`` bytes of a stream under way, if there is room for them."""
        if self._held + size > HELD_LIMIT:
            return False
        self._held += size
        return True

    def over(self, tape: "Tape") -> None:
        """A stream has ended."""
        self._held -= tape.size
        if not tape.torn and (tape.chunks or tape.ending != "left"):
            log.debug("stream.captured", file=tape.path.name)
            self._backlog.offer(tape, tape.size)

    def close(self) -> None:
        """Waits for what is still to be written, not for long."""
        self._backlog.close(CLOSE_S)

    # What follows is done in the thread.

    def _write(self, tapes: Sequence["Tape"], dropped: int) -> None:
        if dropped:
            log.warning("capture.dropped", streams=dropped, reason="they come faster than they can be written")
        try:
            for tape in tapes:
                self._recordings.write(tape.path, tape.recording)
            for folder in {tape.path.parent for tape in tapes}:
                prune(folder)
        except OSError as error:
            if not self._failing:
                reason = error.strerror or type(error).__name__
                log.error("capture.failed", folder=str(self._folder), reason=reason)
            self._failing = True
        else:
            self._failing = False


class Tape:
    """One reply while it comes. ``torn`` says that it went beyond the limits."""

    __slots__ = ("_asked", "_capture", "_headers", "_headers_s", "_provider", "_status", "chunks", "ending", "path",
                 "size", "torn")  # fmt: skip

    def __init__(self, capture: Capture, path: Path, provider: str) -> None:
        self.path = path
        self.chunks: list[tuple[float, bytes]] = []
        self.size = 0
        self.ending: Ending = "left"
        self.torn = False
        self._capture = capture
        self._provider = provider
        self._asked = time.monotonic()
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._headers_s = 0.0

    @property
    def recording(self) -> Recording:
        return Recording(self._provider, self._status, self._headers, self._headers_s, tuple(self.chunks), self.ending)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._headers = status, headers
        self._headers_s = time.monotonic() - self._asked

    def received(self, data: bytes) -> None:
        if not data:
            self.ending = "clean"
        elif not self.torn and self.size + len(data) <= STREAM_LIMIT and self._capture.holds(len(data)):
            self.size += len(data)
            self.chunks.append((time.monotonic() - self._asked, data))
        else:
            self.torn = True

    def broke_off(self) -> None:
        self.ending = "close"

    def closed(self, *, settled: bool) -> None:
        if settled and self.ending == "left":
            self.ending = "clean"  # the answer was whole, and nobody waited for the connection's end
        self._capture.over(self)
