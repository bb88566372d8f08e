"""An answer on the wire: what is written, and when. Pure: nothing here sleeps or writes.

A step is either bytes, to be written at once, or a float: so many seconds of silence.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat

import orjson

from .script import Answer, StreamError

Step = bytes | float

BOM = b"\xef\xbb\xbf"
LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n"}
_WORD = re.compile(r"\s*\S{1,8}|\s+")
_FULL: dict[str, object] = {
    "upload_ids": {},
    "knowledge_source_id": [],
    "source": [],
    "cross_account_source": [],
    "tools_id": [],
    "agent_info": [],
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer to one prompt, everything about it decided."""

    answer: Answer
    text: str
    prompt: str
    interval_s: float
    message_id: str
    conversation_id: str | None = None


def stream(generation: Generation) -> Iterator[Step]:
    """The body of a `streaming: true` answer."""
    answer = generation.answer
    steps = _events(generation)
    if answer.before_events_s:
        steps = chain([answer.before_events_s], steps)
    return split(steps, answer.split, answer.split_gap_s) if answer.split else steps


def whole(generation: Generation) -> bytes:
    """The body of a `streaming: false` answer: one JSON object."""
    answer = generation.answer
    message = "".join(said_deltas(generation)) + (answer.final_text if answer.final else "")
    body = {**_FULL, "message": message, "conversation_id": generation.conversation_id}
    return orjson.dumps(body | (_end(generation) if answer.final else {}))


def whole_s(generation: Generation) -> float:
    """How long a `streaming: false` answer keeps its caller waiting; infinite where it never ends."""
    answer = generation.answer
    if answer.endless_empty:
        return float("inf")
    spoken_s = generation.interval_s * sum(1 for _ in said_deltas(generation))
    return answer.before_events_s + spoken_s + (answer.pause.seconds if answer.pause else 0.0)


def said_deltas(generation: Generation) -> Iterator[str]:
    """The deltas without the endless ones."""
    answer = generation.answer
    said = answer.deltas if answer.deltas is not None else pieces(generation.text, answer.delta_chars)
    return chain(repeat("", answer.leading_empty), said, repeat("", answer.trailing_empty))


def pieces(text: str, characters: int | None = None) -> list[str]:
    """The text cut into deltas: like words and parts of words, or into so many characters each."""
    if characters:
        return [text[at : at + characters] for at in range(0, len(text), characters)]
    return _WORD.findall(text)


def split(steps: Iterable[Step], size: int, gap_s: float = 0.0) -> Iterator[Step]:
    """The same bytes in writes of `size`; silence sends what is held first."""
    held = b""
    for step in steps:
        if isinstance(step, float):
            if held:
                yield held
                held = b""
            yield step
            continue
        held += step
        end = len(held) - len(held) % size
        for at in range(0, end, size):
            yield held[at : at + size]
            if gap_s:
                yield gap_s
        held = held[end:]
    if held:
        yield held


def count_tokens(text: str) -> int:
    return (len(text) + 3) // 4


def _events(generation: Generation) -> Iterator[Step]:
    answer = generation.answer
    frame = Framer(answer)
    delta = _delta_encoder(answer)
    if answer.bom:
        yield BOM
    endless = repeat("") if answer.endless_empty else ()
    for number, text in enumerate(chain(said_deltas(generation), endless, (None,))):
        last = text is None
        if number and not last and generation.interval_s:
            yield generation.interval_s
        if answer.pause and _due(answer.pause.after, number, last):
            yield answer.pause.seconds
        if answer.error and _due(answer.error.after, number, last):
            yield _error(frame, answer.error)
            return
        if answer.cut and _due(answer.cut.after, number, last):
            if answer.cut.how == "half_event":
                event = frame(delta(text or "never to be seen"))
                yield event[: len(event) // 2]
            elif answer.cut.how == "half_utf8":
                yield half_character(text or "", lambda text: frame(delta(text)))
            return
        if text is not None:
            yield frame(delta(text))
    if answer.final:
        yield frame(orjson.dumps(_message(answer, answer.final_text) | _end(generation)))
    if answer.done:
        yield frame(b"[DONE]")


def _due(after: int, number: int, last: bool) -> bool:
    return after == number or (last and after > number)


def half_character(text: str, encode: Callable[[str], bytes]) -> bytes:
    """An event that stops behind the first byte of a character of two or more."""
    event = encode(text if not text.isascii() else text + "é")
    return event[: next(at for at, byte in enumerate(event) if byte > 0x7F) + 1]


def _delta_encoder(answer: Answer) -> Callable[[str], bytes]:
    extra: dict[str, object] = {"stop_reason": None} if answer.null_stop_reason else {}
    before = _FULL if answer.shape == "full" else {}
    return lambda text: orjson.dumps({**before, **_message(answer, text), **extra})


def _message(answer: Answer, text: str) -> dict[str, object]:
    if answer.shape == "openai":
        return {"choices": [{"index": 0, "delta": {"content": text}}]}
    return {"message": text}


def _end(generation: Generation) -> dict[str, object]:
    """What the final event has and the deltas have not."""
    answer = generation.answer
    end: dict[str, object] = {}
    if not answer.omit_stop_reason:
        end["stop_reason"] = answer.stop_reason
    if answer.tokens != "none":
        end["tokens"] = _tokens(generation)
    if answer.message_id is not False:
        end["message_id"] = generation.message_id if answer.message_id is True else answer.message_id
    return end


def _tokens(generation: Generation) -> object:
    tokens = generation.answer.tokens
    if isinstance(tokens, dict):
        return tokens
    if tokens == "null":
        return None
    read = count_tokens(generation.prompt)
    said = "".join(said_deltas(generation)) + generation.answer.final_text
    if tokens == "user":
        enrichment = read // 4  # so that leaving it out of the sum shows
        return {"user": read - enrichment, "enrichment": enrichment, "output": count_tokens(said)}
    return {"input": read, "output": count_tokens(said)}


def _error(frame: "Framer", error: StreamError) -> bytes:
    details = {"message": error.message, "code": error.code}
    if error.form == "event":
        return frame(orjson.dumps(details), name=b"error")
    return frame(orjson.dumps({"type": "error", **details} if error.form == "type" else {"error": details}))


@dataclass(slots=True)
class Framer:
    """Makes SSE events of JSON, numbering them where the answer asks for ids."""

    answer: Answer
    count: int = field(default=0, init=False)

    def __call__(self, data: bytes, name: bytes = b"") -> bytes:
        self.count += 1
        end = LINE_ENDS[self.answer.line_end]
        lines = [b": simulator", b""] if self.answer.comments else []
        if self.answer.ids:
            lines.append(b"id: %d" % self.count)
        if name:
            lines.append(b"event: " + name)
        return end.join([*lines, b"data: " + data, b"", b""])
