"""Recorded bodies without secrets and without text: what machines read of them stays, byte for byte in its place."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.call import Call, Tool
from proxy.core.dialect import Round, Upstream
from proxy.core.upstreams.openai import OpenAI
from proxy.core.upstreams.stackspot import StackSpot
from proxy.core.upstreams.stackspot_errors import refusal
from proxy.simulator.refusals import NAMED, context_length
from proxy.simulator.script import Answer, Cut, StreamError
from proxy.simulator.wire import Generation, stream, whole
from proxy.telemetry.capture.scrub import without_secrets, without_text
from tests.support.answers import Notes

SAID = 'Olá “mundo” 😀, Recife is 12 km off: "ok"?\n'
CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "Recife \\"old\\"", "n": -1.5e10, "a": [true, None]}\n'
TALE = SAID + CALL + "FUNCTION_CALL_END"
CALLER = Call("r1", 1, "m", "", (), stream=True, tools=(Tool("get_weather"),))
STACKSPOT = StackSpot("m", "01AGENT", b"secret")


def wire(text: str = TALE, **fields: Any) -> bytes:
    """A stream of the simulator's, in pieces of three characters so that every word is cut."""
    answer = Answer(**{"delta_chars": 3, "text": text} | fields)
    steps = stream(Generation(answer, answer.text or "", "a prompt", 0.0, "01JZ4M7Q2X9WB3TKD5R8VHNC6E"))
    return b"".join(step for step in steps if isinstance(step, bytes))


def shape(body: bytes, upstream: Upstream = STACKSPOT) -> list[tuple[object, ...]]:
    """What an answer comes to, texts and arguments by their lengths alone."""
    notes = Notes()
    reader = upstream.exchange(CALLER, Round()).reader(notes)
    reader.receive_data(body)
    if not reader.ended:
        reader.receive_eof()
    told = [(*item[:-1], len(item[-1])) if item[0] in ("text", "call") else item for item in notes.told]
    return [*told, ("counted", reader.events, reader.invalid, reader.progress, reader.usage())]


WIRES: dict[str, bytes] = {
    "as it is": wire(),
    "in words": wire(delta_chars=None),
    "full events": wire(shape="full"),
    "openai's shape": wire(shape="openai"),
    "crlf, comments and ids": wire(line_end="crlf", comments=True, ids=True),
    "a byte order mark": wire(bom=True),
    "null stop reasons": wire(null_stop_reason=True),
    "stopped for its length": wire(SAID, stop_reason="length"),
    "done": wire(SAID, done=True),
    "no end": wire(final=False),
    "half an event": wire(cut=Cut("half_event", after=5)),
    "half a character": wire(cut=Cut("half_utf8", after=2)),
    "an error by its type": wire(error=StreamError("type", after=4)),
    "an error by its name": wire(error=StreamError("event", after=4)),
    "an error as an object": wire(error=StreamError("object", after=4)),
    "a prompt too long": wire(
        error=StreamError("type", 4, "limit of 272000 tokens, got 340000 tokens", "INFERENCE_6001")
    ),
    "several lines of data": b'data: {"message":\ndata:  "Recife"}\n\ndata: {"message":"","tokens":{}}\n\n',
    "text that is no JSON": b"data: Recife is far\n\nevent: ping\n: Recife\nnonsense Recife\n\n" + wire(SAID),
    "a JSON body": whole(Generation(Answer(), SAID, "a prompt", 0.0, "M1")),
    "a page": b"<html><body>Recife is far</body></html>",
    "nothing": b"",
}


@pytest.mark.parametrize("body", WIRES.values(), ids=WIRES)
def test_it_is_read_as_before(body: bytes) -> None:
    scrubbed = without_text(body, [])
    assert len(body) == len(scrubbed)
    assert shape(body) == shape(scrubbed)


@pytest.mark.parametrize("body", WIRES.values(), ids=WIRES)
def test_nothing_is_said_any_more(body: bytes) -> None:
    scrubbed = without_text(body, [])
    joined = b"".join(re.findall(rb'"(?:message|content)":"((?:[^"\\]|\\.)*)"', scrubbed)) + scrubbed
    for word in ("mundo", "Olá", "Recife", "12 km", "nonsense", "01JZ"):
        assert word.encode() not in joined


def test_masking_twice_changes_nothing() -> None:
    for body in WIRES.values():
        assert without_text(body, []) == without_text(without_text(body, []), [])


EXACT: dict[str, tuple[bytes, bytes]] = {
    "letters, digits, punctuation": (b'{"message":"Ab 12-c."}', b'{"message":"Xx 11-x."}'),
    "characters of two, three and four bytes": ('{"message":"ñ€😀"}'.encode(), '{"message":"é⩩\U00029a69"}'.encode()),
    "escaped characters": (b'{"message":"\\u00f1\\u20ac\\ud83d\\ude01\\u0041\\n\\""}',
                           b'{"message":"\\u00e9\\u2a69\\ud83d\\ude00\\u0078\\n\\""}'),
    "the protocol's words": (b'{"role":"user","finish_reason":"stop","model":"gpt-4o"}',
                             b'{"role":"user","finish_reason":"stop","model":"gpt-4o"}'),
    "a person's words in their place": (b'{"role":"my dear friend"}', b'{"role":"xx xxxx xxxxxx"}'),
    "numbers and literals": (b'{"tokens":{"input":12},"ok":true}', b'{"tokens":{"input":12},"ok":true}'),
    "keys that are none": (b'{"my dear friend":"x"}', b'{"xx xxxx xxxxxx":"x"}'),
    "names of functions": (b'{"function":{"name":"look_up","arguments":"{\\"at\\": \\"home\\"}"}}',
                           b'{"function":{"name":"look_up","arguments":"{\\"xx\\": \\"xxxx\\"}"}}'),
    "other names": (b'{"name":"Maria"}', b'{"name":"Xxxxx"}'),
    "what services say": (b'{"code":"E_1","message":"The prompt is too long, Maria"}',
                          b'{"code":"E_1","message":"The prompt is too long, Xxxxx"}'),
    "a marker with its code": (b'{"message":"FUNCTION_CALL_START_ab12cd34\\nlook\\n"}',
                               b'{"message":"FUNCTION_CALL_START_ab12cd34\\nlook\\n"}'),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), EXACT.values(), ids=EXACT)
def test_exactly(body: bytes, expected: bytes) -> None:
    assert expected.decode() == without_text(body, []).decode()


@pytest.mark.parametrize("name", NAMED)
def test_refusals_mean_what_they_meant(name: str) -> None:
    named = NAMED[name]  # type: ignore[index]
    body = named.body.encode() if isinstance(named.body, str) else orjson.dumps(named.body) if named.body else b""
    before, after = (refusal("m", named.status, {}, data) for data in (body, without_text(body, [])))
    assert (type(before), before.status, before.code) == (type(after), after.status, after.code)


def test_the_room_that_a_refusal_tells_of_stays() -> None:
    body = orjson.dumps(context_length(1000, 4000).body)
    before, after = (refusal("m", 400, {}, data) for data in (body, without_text(body, [])))
    assert vars(before)["room"] == vars(after)["room"] == 0.25


OPENAI = {
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Recife is far"}, "finish_reason": None}],
    "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4-0613",
}  # fmt: skip
TOOLS = [
    {"index": 0, "id": "call_9", "type": "function", "function": {"name": "look", "arguments": '{"at": "Recife"}'}}
]


def test_a_provider_s_frames() -> None:
    chunks = [
        OPENAI,
        {"choices": [{"delta": {"tool_calls": TOOLS}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]
    body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    scrubbed = without_text(body, [])
    assert (len(body), False) == (len(scrubbed), b"Recife" in scrubbed)
    provider = OpenAI("m", "gpt-4", collect=True)
    assert shape(body, provider) == shape(scrubbed, provider)


@given(st.text(max_size=200), st.integers(1, 20))
@settings(max_examples=150, deadline=None)
def test_any_text(text: str, size: int) -> None:
    body = wire(text or "x", delta_chars=size)
    scrubbed = without_text(body, [])
    assert len(body) == len(scrubbed)
    assert shape(body) == shape(scrubbed)


@example(b"\\u")
@example(b"\\u12")
@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_keep_their_length(body: bytes) -> None:
    for sent in (body, b"data: " + body, b'data: {"a":"' + body + b'"}\n\n'):
        assert len(sent) == len(without_text(sent, [b"ab"])) == len(without_secrets(sent, [b"ab"]))


SECRETS = [b"planted-secret", b'with"quote', "motörhead".encode()]
HIDDEN: dict[str, bytes] = {
    "in a text": b'data: {"message":"it is planted-secret!"}\n\n',
    "in an escaped text": b'data: {"message":"it is with\\"quote!"}\n\n',
    "not in ASCII": 'data: {"message":"motörhead"}\n\n'.encode(),
    "cut between two events": b'data: {"message":"it is plant"}\n\ndata: {"message":"ed-secret!"}\n\n',
    "in a protocol's word": b'{"code":"planted-secret"}',
    "in a page": b"<p>planted-secret</p>",
    "a token": b'{"message":"eyJhbGciOi.eyJpc3MiO.c2lnbmF0dXJl"}',
    "a key": b'{"message":"sk-abcdefghijklmnopqrst"}',
    "a header": b'{"message":"authorization: Bearer abcdefgh12345"}',
}


@pytest.mark.parametrize("hide", [without_secrets, without_text])
@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN)
def test_secrets_are_hidden(body: bytes, hide: Any) -> None:
    hidden = hide(body, SECRETS)
    said = b"".join(re.findall(rb'"message":"((?:[^"\\]|\\.)*)"', hidden)) + hidden
    assert len(body) == len(hidden)
    for part in (b"planted-secret", b"quote", b"rhead", b"eyJ", b"sk-a", b"abcdefgh"):
        assert part not in said


def test_a_text_that_is_kept_is_whole() -> None:
    assert wire() == without_secrets(wire(), SECRETS)
