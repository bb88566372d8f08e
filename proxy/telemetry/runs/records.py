"""The records of a run: a folder with ``manifest.json`` and ``interactions.jsonl``, a line for each request."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import structlog

from proxy.config import Config
from proxy.telemetry.backlog import Backlog
from proxy.telemetry.encoding import iso, ms, to_json
from proxy.telemetry.files import create, write_whole
from proxy.telemetry.record import Record
from proxy.telemetry.runs.manifest import manifest, new_run_id
from proxy.telemetry.texts import Texts

log = structlog.get_logger()

LINES_HELD = 10_000
BYTES_HELD = 32 * 1024 * 1024
CLOSE_S = 2.0


class RunRecords:
    """Written by a thread of its own. A disk that takes nothing costs lines, never an answer: it is told once, and
    once more when lines are written again. A folder that was removed is told likewise, and made again."""

    def __init__(self, folder: Path, config: Config, texts: Texts | None) -> None:
        self._run_id = new_run_id()
        self._folder = folder / self._run_id
        self._path = self._folder / "interactions.jsonl"
        self._config = config
        self._texts = texts
        self._started = time.time()
        self._file: int | None = None
        self._good = 0
        """The size of the file up to the last whole line."""
        self._described = False
        self._lost = 0
        self._failing = False
        self._backlog: Backlog[bytes] = Backlog(self._write, name="run-records", items=LINES_HELD, weight=BYTES_HELD)
        self._backlog.offer(b"", 0)  # so that the folder is there from the start

    def ended(self, record: Record) -> None:
        """A request is over."""
        line = to_json(self._line(record)) + b"\n"
        self._backlog.offer(line, len(line))

    def close(self) -> None:
        """Waits for what is still to be written, not for long."""
        written = self._backlog.close(CLOSE_S)
        if self._lost or not written:
            log.error("run_records.incomplete", folder=str(self._folder), lost=self._lost)
        if written and self._file is not None:
            os.close(self._file)

    def _line(self, record: Record) -> dict[str, object]:
        turn, error = record.turn, record.error
        line: dict[str, object] = {
            "run_id": self._run_id,
            "timestamp": iso(time.time() - record.seconds),
            "request_id": record.id,
            "correlation_id": record.correlation_id,
            "session_id": turn.call.session if turn else None,
            "caller": record.caller or None,
            "route": record.route,
            "model": record.model,
            "provider": record.provider or None,
            "upstream": record.upstream,
            "stream": turn.call.stream if turn else None,
            "status": record.status,
            "end_reason": record.end_reason,
            "error": (error.code or error.type) if error else None,
            "latency_ms": ms(record.seconds),
            "ttft_ms": None if record.first_token is None else ms(record.first_token),
            "tool_calls": len(turn.calls) if turn else 0,
            "usage": None,
        }
        if turn is not None:
            usage = turn.usage
            line["usage"] = {
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "total_tokens": usage.prompt + usage.completion,
                "estimated": usage.estimated,
            }
            if self._texts is not None:
                line["messages"] = self._texts.asked(turn.call)
                answer = self._texts.answered(record.transcript)
                line["output"] = answer.pop("text")
                line["output_tool_calls"] = answer.pop("tool_calls", [])
        return line

    # What follows is done in the thread.

    def _write(self, lines: Sequence[bytes], dropped: int) -> None:
        count = sum(1 for line in lines if line)
        if dropped:
            self._lost += dropped
            log.warning("run_records.dropped", lines=dropped, reason="they come faster than they can be written")
        try:
            if self._removed():
                self._start_over()
            self._append(b"".join(lines))
            count = 0
            self._write_manifest()
        except OSError as error:
            self._lost += count
            if not self._failing:
                reason = error.strerror or type(error).__name__
                log.error("run_records.failed", folder=str(self._folder), reason=reason)
            self._failing = True
        else:
            if self._failing:
                log.info("run_records.restored", lost=self._lost)
            self._failing = False

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._open()
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._good)  # rather no line than half of one
            raise
        self._good += len(data)

    def _write_manifest(self) -> None:
        if not self._described:
            made_with = manifest(self._run_id, self._started, self._config)
            write_whole(self._folder / "manifest.json", orjson.dumps(made_with, option=orjson.OPT_INDENT_2) + b"\n")
            self._described = True

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return create(self._path, os.O_APPEND)

    def _removed(self) -> bool:
        """The file that is open is no longer the one in the folder."""
        if self._file is None:
            return False
        try:
            return not os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return True

    def _start_over(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file, self._good, self._described = None, 0, False
        self._failing = True
        log.error("run_records.failed", folder=str(self._folder), reason="the file was removed; another one is made")
