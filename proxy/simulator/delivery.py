"""From an answer, a recording or a refusal to what one response does. Pure: the doing is in `sending`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from .ledger import Outcome
from .refusals import NAMED, Refusal
from .replay import Recording
from .script import Answer, Ending
from .wire import Generation, Step, split, stream, whole, whole_s

GATEWAY_S = 120.0  # after which StackSpot's gateway hangs up on an answer that is not streamed
_STREAM_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One response: what is written and when, how it ends, and what is noted as its end."""

    outcome: Outcome
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    steps: Iterable[Step] = ()
    before_status_s: float = 0.0
    writes_alone: bool = False  # the loop gets a turn after each write
    linger_s: float = 0.0
    ending: Ending = "clean"
    answers: bool = True  # False: the connection ends without a status line
    generates: bool = True


def of_refusal(refusal: Refusal, outcome: Outcome = "refused") -> Delivery:
    return _at_once(refusal.status, refusal.body, {}, outcome)


def of_recording(recording: Recording) -> Delivery:
    return Delivery(
        "complete" if recording.status < 400 and recording.ending == "clean" else "scripted",
        recording.status,
        recording.headers,
        recording.steps(),
        before_status_s=recording.headers_s,
        writes_alone=True,
        ending=recording.ending,
        generates=recording.status < 400,
    )


def of_fixed(answer: Answer, before_status_s: float) -> Delivery:
    """A scripted refusal, or any other status and body."""
    if answer.refuse is not None:
        named = NAMED[answer.refuse]
        return _at_once(named.status, named.body, _own_headers(answer), "scripted", before_status_s)
    return _at_once(answer.status or 200, answer.body, _own_headers(answer), "scripted", before_status_s)


def of_raw(answer: Answer, before_status_s: float) -> Delivery:
    body: Iterable[Step] = [answer.raw_bytes()]
    if answer.before_events_s:
        body = [answer.before_events_s, *body]
    return _streamed(answer, body, before_status_s, "scripted")


def of_generation(generation: Generation, before_status_s: float) -> Delivery:
    """A `streaming: true` answer."""
    answer = generation.answer
    is_whole = answer.final and answer.error is None and answer.cut is None
    return _streamed(answer, stream(generation), before_status_s, "complete" if is_whole else "scripted")


def of_whole(generation: Generation, before_status_s: float) -> Delivery:
    """A `streaming: false` answer; where its stream would have been cut, half its body is sent."""
    answer = generation.answer
    if answer.error is not None:
        return of_refusal(NAMED["server_error"], "scripted")
    body = whole(generation) if not answer.endless_empty else b""
    sent = body[: len(body) // 2] if answer.cut else body
    waits = before_status_s + whole_s(generation)
    hangs_up = waits >= GATEWAY_S
    return Delivery(
        "scripted" if answer.cut or hangs_up or not answer.final else "complete",
        headers={"content-type": "application/json", "content-length": str(len(body))} | _own_headers(answer),
        steps=[sent] if sent else [],
        before_status_s=min(waits, GATEWAY_S),
        ending="close" if hangs_up or (answer.cut and answer.cut.ending == "clean") else _ending(answer),
        answers=not hangs_up and _answers(answer),
    )


def _streamed(answer: Answer, steps: Iterable[Step], before_status_s: float, outcome: Outcome) -> Delivery:
    status = answer.status or 200
    return Delivery(
        outcome,
        status,
        _STREAM_HEADERS | _own_headers(answer),
        split(steps, answer.split, answer.split_gap_s) if answer.split and answer.raw else steps,
        before_status_s,
        writes_alone=answer.split is not None,
        linger_s=answer.linger_s,
        ending=_ending(answer),
        answers=_answers(answer),
        generates=status < 400,
    )


def _at_once(
    status: int, body: object, headers: dict[str, str], outcome: Outcome, before_status_s: float = 0.0
) -> Delivery:
    if body is None:
        content_type, data = {}, b""
    elif isinstance(body, str):
        content_type, data = {"content-type": "text/plain"}, body.encode()
    else:
        content_type, data = {"content-type": "application/json"}, orjson.dumps(body)
    return Delivery(
        outcome,
        status,
        content_type | {"content-length": str(len(data))} | headers,
        [data] if data else [],
        before_status_s,
        generates=status < 400,
    )


def _own_headers(answer: Answer) -> dict[str, str]:
    content_type = {"content-type": answer.content_type} if answer.content_type else {}
    return content_type | {name.lower(): value for name, value in answer.headers.items()}


def _ending(answer: Answer) -> Ending:
    return answer.cut.ending if answer.cut else "clean"


def _answers(answer: Answer) -> bool:
    return answer.cut is None or answer.cut.headers
