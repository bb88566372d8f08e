"""From a request and its answer to what the response does. Pure: the doing is the simulator's `sending`."""

from dataclasses import replace
from typing import Any

from proxy.simulator.delivery import Delivery, of_fixed, of_raw, of_refusal
from proxy.simulator.refusals import Refusal
from proxy.simulator.wire import pieces
from tests.support.provider import errors, shapes
from tests.support.provider.persona import Body, read_messages, reply
from tests.support.provider.script import Answer, Call
from tests.support.provider.wire import Generation, stream, whole, whole_s

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


def refused(status: int, body: errors.ErrorBody) -> Delivery:
    return of_refusal(Refusal(status, body))  # type: ignore[arg-type]  # its bodies are flat, but any JSON goes


def deliver(answer: Answer, body: Body) -> Delivery:
    """The response to a good request."""
    manner = answer.manner
    if answer.redirect is not None:
        headers = {"location": answer.redirect} | answer.headers
        return of_fixed(replace(manner, status=answer.status or 307, headers=headers), answer.before_status_s)
    if manner.is_fixed:
        if answer.body is None and (manner.status or 200) >= 400:
            manner = replace(manner, body=errors.of_status(manner.status or 500))
        return of_fixed(manner, answer.before_status_s)
    if answer.raw is not None:
        return of_raw(manner, answer.before_status_s)
    generation = _generate(answer, body)
    return _streamed(generation) if body.get("stream") else _whole(generation)


def _generate(answer: Answer, body: Body) -> Generation:
    texts, calls = _said(answer, body)
    asked = not body.get("stream") or bool((body.get("stream_options") or {}).get("include_usage"))
    told = answer.usage is True or (asked and answer.usage is not False)
    prompt = "\n".join(section.text for section in read_messages(body).sections)
    said = "".join([*texts, *map(shapes.arguments, calls)])
    counts = answer.usage if isinstance(answer.usage, dict) else shapes.usage(prompt, said)
    return Generation(
        answer,
        shapes.Shapes(answer.model or f"{body['model']}{shapes.SUFFIX}", usage_key=asked, extra=answer.extra),
        texts,
        calls,
        finish_reason=(answer.finish_reason or ("tool_calls" if calls else "stop")) if answer.finish else None,
        usage=counts if told else None,
    )


def _said(answer: Answer, body: Body) -> tuple[tuple[str, ...], tuple[Call, ...]]:
    text, calls = answer.text, answer.tool_calls
    if text is None and answer.deltas is None and calls is None:
        text, calls = reply(body)
    texts = answer.deltas if answer.deltas is not None else tuple(pieces(text or "", answer.delta_chars))
    return texts, calls or ()


def _streamed(generation: Generation) -> Delivery:
    answer = generation.answer
    is_whole = answer.finish and answer.cut is None and answer.error is None
    return Delivery(
        "complete" if is_whole else "scripted",
        headers=_STREAM_HEADERS | _own_headers(answer),
        steps=stream(generation),
        writes_alone=answer.split is not None,
        **_ending(answer),
    )


def _whole(generation: Generation) -> Delivery:
    """An answer that is not streamed; where its stream would have been cut, half its body is sent."""
    answer = generation.answer
    if (error := answer.error) is not None:
        body = errors.error(error.message, error.type, error.code, error.param)
        return of_fixed(replace(answer.manner, status=500, body=body), answer.before_status_s)
    data = whole(generation)
    ending = _ending(answer)
    if answer.cut and ending["ending"] == "clean":
        ending["ending"] = "close"  # the length that was promised is not met
    return Delivery(
        "complete" if answer.finish and answer.cut is None else "scripted",
        headers={"content-type": "application/json", "content-length": str(len(data))} | _own_headers(answer),
        steps=[data[: len(data) // 2] if answer.cut else data],
        **ending | {"before_status_s": answer.before_status_s + whole_s(generation)},
    )


def _ending(answer: Answer) -> dict[str, Any]:
    cut = answer.cut
    return {
        "before_status_s": answer.before_status_s,
        "linger_s": answer.linger_s,
        "ending": cut.ending if cut else "clean",
        "answers": cut is None or cut.headers,
    }


def _own_headers(answer: Answer) -> dict[str, str]:
    content_type = {"content-type": answer.content_type} if answer.content_type else {}
    return content_type | {name.lower(): value for name, value in answer.headers.items()}
