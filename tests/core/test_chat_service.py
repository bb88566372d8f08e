"""The chat service's dialect without a socket: whatever a request holds, it is refused by name or goes on as it was."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Finish, Served, Usage
from proxy.core.callers.chat_service import ChatService, ServiceAnswer
from proxy.core.dialect import Round, Upstream
from proxy.errors import InvalidRequest, UpstreamBroken
from tests.core.test_reader_properties import ANY, seldom
from tests.core.test_request_properties import AGENT, MESSAGE, PROVIDER, USER, _without_halves

SERVICE = ChatService()
PARAMS = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "max_tokens": st.integers(1, 9),
    "seed": st.integers(),
    "stream": st.booleans(),
    "json_mode": st.booleans(),
    "made_up": ANY,
}
REQUEST = st.fixed_dictionaries(
    {"model": seldom(st.just("m")), "messages": st.lists(seldom(MESSAGE, st.just(USER)), min_size=1, max_size=3)},
    optional={"params": st.fixed_dictionaries({}, optional={name: seldom(value) for name, value in PARAMS.items()})},
)


def body_for(upstream: Upstream, sent: bytes) -> Any:
    """What an upstream gets of a request, or the refusal."""
    try:
        call = SERVICE.read(sent, "r1", 1)
        upstream.admit(call)
        return orjson.loads(upstream.exchange(call, Round()).outgoing.body)
    except InvalidRequest as refused:
        return refused


@pytest.mark.parametrize("upstream", [AGENT, PROVIDER], ids=["StackSpot", "OpenAI"])
@given(REQUEST)
def test_any_request_is_refused_or_sent(upstream: Upstream, fields: dict[str, Any]) -> None:
    went_out = body_for(upstream, json.dumps(fields).encode())
    if isinstance(went_out, InvalidRequest):
        assert len(went_out.message) < 600
    elif upstream is PROVIDER:
        assert _without_halves(fields["messages"]) == went_out["messages"]
        params = fields.get("params") or {}
        for name in ("temperature", "top_p", "max_tokens", "seed"):
            assert params.get(name) == went_out.get(name)
        assert bool(params.get("json_mode")) is ("response_format" in went_out)


@pytest.mark.parametrize("upstream", [AGENT, PROVIDER], ids=["StackSpot", "OpenAI"])
@pytest.mark.parametrize("place", ['"made_up":%s', '"params":{"made_up":%s}', '"params":{},"messages":%s'])
def test_nesting_is_refused_before_anything_gives_up(place: str, upstream: Upstream) -> None:
    for depth in (*range(240, 260), *range(960, 1010)):
        nested = '{"a":' * depth + "1" + "}" * depth
        body = '{"model":"m","messages":[{"role":"user","content":"x"}],' + place % nested + "}"
        assert body_for(upstream, body.encode())


def test_an_answer() -> None:
    answer = ServiceAnswer()
    answer.text("Olá")
    answer.text(" \ud83d!")
    assert b"" == answer.take()
    answer.finish(Finish("stop", Usage(3, 2), None, Served("stackspot", "agent", 1.5)))
    told = orjson.loads(answer.take())
    assert ["Olá ?!", "stackspot", "agent", 1500] == [
        told[key] for key in ("output", "provider", "model", "latency_ms")
    ]
    assert (5, b"", 1) == (told["usage"]["total_tokens"], answer.take(), answer.chunks)


@pytest.mark.parametrize("body", [b'{"choices":[]}', b'{"choices":[{"message":null}]}', b'{"choices":3}', b"{}"])
def test_a_body_without_an_answer_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        ServiceAnswer().body(body)
