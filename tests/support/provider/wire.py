"""An answer on the wire: what is written, and when. Pure: nothing here sleeps or writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from proxy.simulator.script import Cut
from proxy.simulator.wire import Framer, Step, half_character, split
from tests.support.provider import errors
from tests.support.provider.script import Answer, Call
from tests.support.provider.shapes import Json, Shapes, call_deltas


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer to one request, everything about it decided."""

    answer: Answer
    shapes: Shapes
    texts: tuple[str, ...]
    calls: tuple[Call, ...]
    finish_reason: str | None  # None: the answer ends without one
    usage: Json | None  # None: it is not told

    @property
    def text(self) -> str:
        return "".join(self.texts)


def stream(generation: Generation) -> Iterator[Step]:
    """The body of a streamed answer."""
    answer = generation.answer
    steps = _with_silence(answer.before_events_s, _events(generation))
    return split(steps, answer.split, answer.split_gap_s) if answer.split else steps


def whole(generation: Generation) -> bytes:
    """The body of an answer that is not streamed."""
    text = generation.text if generation.texts or not generation.calls else None
    shape = generation.shapes.whole(text, generation.calls, generation.finish_reason, generation.usage)
    return orjson.dumps(shape)


def whole_s(generation: Generation) -> float:
    """How long an answer that is not streamed keeps its caller waiting behind the silence before the status line."""
    answer = generation.answer
    spoken_s = answer.interval_s * len(_deltas(generation))
    return answer.before_events_s + spoken_s + (answer.pause.seconds if answer.pause else 0.0)


def _events(generation: Generation) -> Iterator[Step]:
    answer, shapes = generation.answer, generation.shapes
    frame = Framer(answer.manner)
    deltas = _deltas(generation)
    first: Json = {"x_groq": shapes.x_groq()}
    if answer.role == "chunk":
        opening = {"role": "assistant", "content": "" if generation.texts else None, "refusal": None}
        yield frame(orjson.dumps(shapes.chunk(opening, **first)))
        first = {}
    for number in range(len(deltas) + 1):
        if answer.interval_s and 0 < number < len(deltas):
            yield answer.interval_s
        if answer.pause and number == min(answer.pause.after, len(deltas)):
            yield answer.pause.seconds
        if (error := answer.error) and number == min(error.after, len(deltas)):
            yield frame(orjson.dumps(errors.error(error.message, error.type, error.code, error.param)))
            return
        if answer.cut and number == min(answer.cut.after, len(deltas)):
            yield from _last_bytes(answer.cut, frame, shapes, deltas[number : number + 1])
            return
        if number < len(deltas):
            yield frame(orjson.dumps(shapes.chunk(deltas[number], **first)))
            first = {}
    for chunk in _closing(generation):
        yield frame(orjson.dumps(chunk))
    if answer.done:
        yield frame(b"[DONE]")


def _deltas(generation: Generation) -> list[Json]:
    answer = generation.answer
    texts: list[Json] = [{"content": text} for text in generation.texts]
    deltas = [*texts, *call_deltas(generation.calls, whole=answer.whole_calls)]
    with_role = {"first": deltas[:1], "every": deltas}.get(answer.role, [])
    return [{"role": "assistant", **delta} for delta in with_role] + deltas[len(with_role) :]


def _closing(generation: Generation) -> Iterator[Json]:
    """The chunks behind the last delta."""
    shapes, usage = generation.shapes, generation.usage
    in_finish = generation.answer.usage_at == "finish"
    if generation.finish_reason is not None:
        more: Json = {"x_groq": shapes.x_groq(usage)}
        if usage is not None and in_finish:
            more["usage"] = usage
        yield shapes.chunk({}, generation.finish_reason, **more)
    if usage is not None and not in_finish:
        yield shapes.usage_chunk(usage)


def _last_bytes(cut: Cut, frame: Framer, shapes: Shapes, following: list[Json]) -> Iterator[bytes]:
    """Half of what would have followed, if that is how it is cut."""
    delta = following[0] if following else {"content": "never to be seen"}
    if cut.how == "half_event":
        event = frame(orjson.dumps(shapes.chunk(delta)))
        yield event[: len(event) // 2]
    elif cut.how == "half_utf8":
        text = delta.get("content") or ""
        yield half_character(text, lambda text: frame(orjson.dumps(shapes.chunk({"content": text}))))


def _with_silence(seconds: float, steps: Iterator[Step]) -> Iterator[Step]:
    if seconds:
        yield seconds
    yield from steps
