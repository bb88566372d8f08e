"""A caller that takes nothing on trust: it checks every line of a stream, and that the response ends as HTTP has it."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

import orjson

from tests.support.chat import PATH, body

KEEPALIVE = b": keepalive"
_FRAME = re.compile(rb"data: [^\r\n]+")


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told. ``ended`` says that HTTP's own end was there, ``headers_after`` when its headers were;
    without an answer the status is 0."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: bool = True
    headers_after: float = 0.0

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def blocks(self) -> list[bytes]:
        """The frames and comments of a stream, each whole."""
        *blocks, rest = self.body.split(b"\n\n")
        assert rest == b"", f"a frame that does not end: {rest!r}"
        assert all(block == KEEPALIVE or _FRAME.fullmatch(block) for block in blocks), blocks
        return blocks

    @property
    def frames(self) -> list[Any]:
        datas = [block.removeprefix(b"data: ") for block in self.blocks if block != KEEPALIVE]
        return [data.decode() if data == b"[DONE]" else orjson.loads(data) for data in datas]

    @property
    def keepalives(self) -> int:
        return self.blocks.count(KEEPALIVE)

    @property
    def error(self) -> dict[str, Any] | None:
        if self.streamed:
            errors = [frame["error"] for frame in self.frames if frame != "[DONE]" and "error" in frame]
            assert not errors or [self.frames[-1]["error"]] == errors, "there is one error, and it is the last frame"
            return errors[0] if errors else None
        found: dict[str, Any] | None = orjson.loads(self.body).get("error")
        return found

    @property
    def code(self) -> str | None:
        return self.error["code"] if self.error else None

    @property
    def text(self) -> str:
        if self.streamed:
            return "".join(choice["delta"].get("content") or "" for choice in self._choices)
        return "".join(choice["message"]["content"] or "" for choice in self._choices)

    @property
    def finish(self) -> str | None:
        return next((choice["finish_reason"] for choice in self._choices if choice["finish_reason"]), None)

    @property
    def done(self) -> bool:
        return self.streamed and "[DONE]" in self.frames

    @property
    def complete(self) -> bool:
        """It looks like the whole of an answer."""
        return self.finish is not None and (self.done or not self.streamed)

    @property
    def _choices(self) -> list[dict[str, Any]]:
        if self.streamed:
            return [choice for frame in self.frames if frame != "[DONE]" for choice in frame.get("choices", [])]
        found: list[dict[str, Any]] = orjson.loads(self.body).get("choices", [])
        return found


def ask(url: str, correlation_id: str, *, timeout: float = 4, **fields: Any) -> Told:
    """One request on a connection of its own, and all that came of it."""
    headers = {"correlation-id": correlation_id, "content-type": "application/json"}
    started = time.monotonic()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    got, ended, status, received, headers_after = b"", True, 0, {}, 0.0
    try:
        connection.request("POST", PATH, orjson.dumps(body(**fields)), headers)
        reply = connection.getresponse()
        headers_after = time.monotonic() - started
        status, received = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        while piece := reply.read1():
            got += piece
            assert time.monotonic() < started + timeout, f"no end after {timeout} s: {got[-200:]!r}"
        ended = not reply.length  # what is missing of a content-length
    except (HTTPException, ConnectionError):
        ended = False
    finally:
        connection.close()
    return Told(status, received, got, ended, headers_after)
