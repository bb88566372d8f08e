"""The stand-in for an OpenAI-compatible provider: every switch once, over real sockets."""

import base64
import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.chat import WEATHER_TOOL, finish_of, frames, text_of
from tests.support.provider.certificate import self_signed
from tests.support.provider.process import Provider

PATH = "/openai/v1/chat/completions"
HEADERS = {"authorization": "Bearer gsk-secret-1234"}
LAST_CHUNK = b"\r\n0\r\n\r\n"
INCLUDE: dict[str, Any] = {"stream_options": {"include_usage": True}}
COUNT = itertools.count(1)
Scripted = Callable[..., str]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    assert process.stop() == 0


@pytest.fixture
def scripted(provider: Provider) -> Scripted:
    """Scripts answers under a key of their own, and gives it."""

    def put(*answers: dict[str, Any]) -> str:
        key = f"own-{next(COUNT)}"
        provider.script(key, *answers)
        return key

    return put


def a_body(**fields: Any) -> dict[str, Any]:
    return {"model": "llama", "messages": [{"role": "user", "content": "Hi"}], **fields}


def post(provider: Provider, key: str = "any", **fields: Any) -> httpx.Response:
    return provider.client.post(PATH, headers=HEADERS | {"correlation-id": key}, json=a_body(**fields))


def streamed(provider: Provider, key: str = "any", **fields: Any) -> list[Any]:
    return frames(post(provider, key, stream=True, **fields))


def received(provider: Provider, key: str) -> Generator[bytes, None, None]:
    """A stream over a bare socket: all that has come of it so far, once the request is sent and at every piece."""
    body = json.dumps(a_body(stream=True)).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncorrelation-id: {key}\r\n"
    address = httpx.URL(provider.url)
    with socket.create_connection((address.host, address.port), timeout=3) as connection:
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        got = b""
        yield got
        while piece := connection.recv(65536):
            got += piece
            yield got


def raw(provider: Provider, key: str, until: bytes | None = None) -> tuple[bytes, bool]:
    """All bytes of a stream, up to a mark if one is given, and whether a reset ended them."""
    got = b""
    try:
        with closing(received(provider, key)) as pieces:
            for got in pieces:
                if until is not None and until in got:
                    break
    except ConnectionResetError:
        return got, True
    return got, False


# Without a script


def test_a_stream_has_openai_s_chunks(provider: Provider) -> None:
    *chunks, usage, done = streamed(provider, **INCLUDE)
    assert done == "[DONE]"
    assert [list(chunk["choices"][0]["delta"]) for chunk in chunks[:2]] == [["role", "content", "refusal"], ["content"]]
    assert (chunks[-1]["choices"][0]["delta"], finish_of(chunks)) == ({}, "stop")
    assert "“Hi”" in text_of(chunks)
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert {(chunk["id"], chunk["model"], chunk["system_fingerprint"]) for chunk in [*chunks, usage]} == {
        (usage["id"], "llama-0613", "fp_44709d6fcb")
    }
    assert chunks[0]["x_groq"]["id"].startswith("req_")
    assert chunks[-1]["x_groq"]["usage"] == usage["usage"]


def test_no_usage_chunk_unless_asked(provider: Provider) -> None:
    assert not any("usage" in chunk for chunk in streamed(provider)[:-1])


def test_a_whole_answer(provider: Provider) -> None:
    reply = post(provider)
    answer = reply.json()
    assert answer["model"] == "llama-0613"
    assert answer["usage"]["queue_time"] > 0
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert {"system_fingerprint", "x_groq", "service_tier"} <= answer.keys()
    assert reply.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_openai_python_understands_tools(provider: Provider, stream: bool) -> None:
    question: Any = {"role": "user", "content": 'The weather in "São Paulo"?'}
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
        ask: Any = client.chat.completions
        if stream:
            with ask.stream(model="llama", messages=[question], tools=[WEATHER_TOOL]) as events:
                completion = events.get_final_completion()
        else:
            completion = ask.create(model="llama", messages=[question], tools=[WEATHER_TOOL])
        message = completion.choices[0].message
        (call,) = message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "São Paulo"})
        assert (message.content, completion.choices[0].finish_reason) == (None, "tool_calls")
        result = {"role": "tool", "tool_call_id": call.id, "content": "25°C"}
        dumped = message.model_dump(exclude_none=True, include={"role", "tool_calls"})
        after = ask.create(model="llama", messages=[question, dumped, result], tools=[WEATHER_TOOL])
        assert after.choices[0].message.content == "Here is what I found: 25°C"


def test_the_tool_choice_and_the_format_are_heeded(provider: Provider) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    named = post(provider, tools=[WEATHER_TOOL, other], tool_choice={"type": "function", "function": {"name": "other"}})
    assert named.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "other"
    assert "tool_calls" not in post(provider, tools=[other], tool_choice="none").json()["choices"][0]["message"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    found = post(provider, response_format=asked).json()["choices"][0]["message"]["content"]
    assert json.loads(found) == {"n": 1}


def test_the_models(provider: Provider) -> None:
    assert provider.client.get("/models", headers=HEADERS).json()["data"][0]["object"] == "model"
    reply = provider.client.get("/a/b/v1/models", headers=HEADERS | {"correlation-id": "list"})
    assert reply.json()["object"] == "list"
    (request,) = provider.requests("list")
    assert (request["method"], request["path"], request["end"]) == ("GET", "/a/b/v1/models", "complete")


@pytest.mark.parametrize(("key", "code"), [("Bearer wrong-key", "invalid_api_key"), (None, None)])
@pytest.mark.parametrize("path", [PATH, "/v1/models"])
def test_the_key_is_checked(provider: Provider, path: str, key: str | None, code: str | None) -> None:
    headers = {"authorization": key} if key else {}
    reply = provider.client.request("GET" if "models" in path else "POST", path, headers=headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["code"]) == (401, "invalid_request_error", code)
    assert list(error) == ["message", "type", "param", "code"]


@pytest.mark.parametrize("content", [b"[", b"{}", b'{"model":"m","messages":[]}'])
def test_bad_bodies(provider: Provider, content: bytes) -> None:
    reply = provider.client.post(PATH, headers=HEADERS, content=content)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


def test_unknown_paths(provider: Provider) -> None:
    reply = provider.client.post("/v1/completions", headers=HEADERS)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "Invalid URL (POST /v1/completions)")


# What it notes


def test_a_request_is_recorded(provider: Provider) -> None:
    before = time.monotonic()
    post(provider, "seen", temperature=0.5)
    (request,) = provider.requests("seen")
    assert request["headers"]["authorization"] == "Bearer ***1234"
    assert (request["path"], request["correlation_id"], request["body"]) == (PATH, "seen", a_body(temperature=0.5))
    assert (request["status"], request["end"]) == (200, "complete")
    assert before <= request["arrived"] <= request["arrived"] + request["seconds"] <= time.monotonic()
    assert request["sent"] > 0


def test_a_client_that_leaves_is_noticed(provider: Provider, scripted: Scripted) -> None:
    key = scripted({"deltas": ["one", "two"], "pause": {"seconds": 30, "after": 1}})
    raw(provider, key, until=b'"one"')
    (request,) = provider.wait_ended(key)
    assert request["end"] == "client_closed"
    assert provider.stats()["open"] == 0


def test_stats_and_reset(provider: Provider, scripted: Scripted) -> None:
    provider.reset()
    provider.script("*", {"text": "any", "repeat": True})
    key = scripted({"text": "own"}, {"status": 503})
    said = [post(provider, key).json() for _ in range(3)]
    assert [answer["choices"][0]["message"]["content"] for answer in (said[0], said[2])] == ["own", "any"]
    assert said[1]["error"]["code"] == "overloaded"
    assert provider.stats() == {
        "requests": 3, "open": 0, "open_max": 1, "complete": 2, "client_closed": 0, "scripted": 1, "refused": 0,
    }  # fmt: skip
    provider.reset()
    assert (provider.requests(), provider.stats()["requests"]) == ([], 0)
    assert "“Hi”" in post(provider).json()["choices"][0]["message"]["content"]


WRONG: dict[str, tuple[object, str]] = {
    "no list": ({}, ""),
    "an unknown field": ([{"text": "a"}, {"texts": "b"}], "[1].texts"),
    "no such cut": ([{"cut": {"how": "softly"}}], "[0].cut.how"),
    "a call without a name": ([{"tool_calls": [{"arguments": {}}]}], "[0].tool_calls[0].name"),
    "text beside a status": ([{"text": "a", "status": 500}], "[0].status"),
    "text beside deltas": ([{"text": "a", "deltas": []}], "[0].deltas"),
    "no base64": ([{"raw": "?"}], "[0].raw"),
    "a redirect with a status of success": ([{"redirect": "/", "status": 200}], "[0].status"),
    "a redirect that is cut": ([{"redirect": "/", "cut": {"how": "close"}}], "[0].redirect"),
    "writes of nothing": ([{"split": 0}], "[0].split"),
}


@pytest.mark.parametrize(("script", "field"), WRONG.values(), ids=WRONG)
def test_wrong_scripts_are_refused(provider: Provider, script: object, field: str) -> None:
    reply = provider.client.put("/_provider/scripts/x", json=script)
    assert (reply.status_code, reply.json()["field"]) == (400, field)


# What is said


def test_text_and_deltas(provider: Provider, scripted: Scripted) -> None:
    key = scripted({"text": "abcd", "delta_chars": 2}, {"deltas": ["a", "", "b"]})
    for expected in (["ab", "cd"], ["a", "", "b"]):
        chunks = streamed(provider, key)[1:-2]
        assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == expected


def test_tool_calls_as_data(provider: Provider, scripted: Scripted) -> None:
    calls = [{"name": "f", "arguments": {"a": "long enough to cut"}, "id": "call_1"}, {"name": "g", "arguments": "{x"}]
    key = scripted(*[{"text": "Wait.", "tool_calls": calls, "whole_calls": whole} for whole in (False, True, False)])
    for pieced in (True, False):
        found = [chunk["choices"][0]["delta"] for chunk in streamed(provider, key)[:-1]]
        deltas = [call for delta in found for call in delta.get("tool_calls", ())]
        heads = [delta for delta in deltas if "id" in delta]
        assert [(head["index"], head["type"], head["function"]["name"]) for head in heads] == [
            (0, "function", "f"),
            (1, "function", "g"),
        ]
        assert heads[0]["id"] == "call_1"
        said = ["".join(one["function"]["arguments"] for one in deltas if one["index"] == at) for at in (0, 1)]
        assert said == ['{"a":"long enough to cut"}', "{x"]
        assert (len(deltas) > 2) is pieced
    choice = post(provider, key).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Wait.", "tool_calls")
    assert choice["message"]["tool_calls"][1]["function"] == {"name": "g", "arguments": "{x"}


ROLES: dict[str, list[bool]] = {
    "chunk": [True, False, False],
    "first": [True, False],
    "every": [True, True],
    "none": [False, False],
}


@pytest.mark.parametrize(("role", "expected"), ROLES.items(), ids=ROLES)
def test_where_the_role_stands(provider: Provider, scripted: Scripted, role: str, expected: list[bool]) -> None:
    chunks = streamed(provider, scripted({"deltas": ["a", "b"], "role": role}))
    assert ["role" in chunk["choices"][0]["delta"] for chunk in chunks[:-2]] == expected
    assert "x_groq" in chunks[0]


def test_the_model_and_further_keys(provider: Provider, scripted: Scripted) -> None:
    key = scripted(*[{"model": "other", "extra": {"cost": 1}}] * 2)
    for answer in (post(provider, key).json(), streamed(provider, key)[0]):
        assert (answer["model"], answer["cost"]) == ("other", 1)


def test_how_it_finishes(provider: Provider, scripted: Scripted) -> None:
    key = scripted({"finish_reason": "length"}, {"finish": False}, {"done": False}, {"finish": False})
    assert finish_of(streamed(provider, key)) == "length"
    assert finish_of(found := streamed(provider, key)) is None
    assert found[-1] == "[DONE]"
    assert finish_of(found := streamed(provider, key)) == "stop"
    assert found[-1] != "[DONE]"
    assert post(provider, key).json()["choices"][0]["finish_reason"] is None
    assert [request["end"] for request in provider.requests(key)] == ["complete", "scripted", "complete", "scripted"]


def test_usage(provider: Provider, scripted: Scripted) -> None:
    counts = {"prompt_tokens": 7}
    key = scripted(*[{"usage": usage} for usage in (True, False, False, counts, counts)], {"usage_at": "finish"})
    assert streamed(provider, key)[-2]["usage"]["prompt_tokens"] > 0  # though it was not asked for
    assert not any(chunk.get("usage") for chunk in streamed(provider, key, **INCLUDE)[:-1])
    assert "usage" not in post(provider, key).json()
    assert streamed(provider, key, **INCLUDE)[-2]["usage"] == counts
    assert post(provider, key).json()["usage"] == counts
    last = streamed(provider, key, **INCLUDE)[-2]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["prompt_tokens"] > 0


# When and how it is written


TIMES: dict[str, tuple[dict[str, Any], bytes, bytes]] = {
    "before the status line": ({"before_status_s": 0.1}, b"", b"HTTP/1.1 200"),
    "before the first event": ({"before_events_s": 0.1}, b"HTTP/1.1 200", b"data:"),
    "in a pause": ({"deltas": ["one", "two"], "pause": {"after": 1, "seconds": 0.15}}, b'"one"', b'"two"'),
    "between deltas": ({"deltas": ["one", "-", "two"], "interval_s": 0.05}, b'"one"', b'"two"'),
    "behind the last event": ({"linger_s": 0.1}, b"[DONE]", LAST_CHUNK),
}


@pytest.mark.parametrize(("answer", "start", "end"), TIMES.values(), ids=TIMES)
def test_silence(provider: Provider, scripted: Scripted, answer: dict[str, Any], start: bytes, end: bytes) -> None:
    """Measured from one mark to the other."""
    began = 0.0
    with closing(received(provider, scripted(answer))) as pieces:
        for got in pieces:
            if start in got:
                began = began or time.monotonic()
            if end in got:
                break
    assert time.monotonic() - began >= 0.07


def test_a_whole_answer_takes_as_long(provider: Provider, scripted: Scripted) -> None:
    began = time.monotonic()
    post(provider, scripted({"deltas": ["a", "b"], "interval_s": 0.05}))
    assert time.monotonic() - began >= 0.09


def test_line_ends_and_comments(provider: Provider, scripted: Scripted) -> None:
    body = post(provider, scripted({"deltas": ["a"], "line_end": "crlf", "comments": True}), stream=True).content
    assert body.startswith(b": ")
    assert body.endswith(b"\r\n\r\ndata: [DONE]\r\n\r\n")
    assert body.count(b"\n") == body.count(b"\r\n")


def test_split_writes(provider: Provider, scripted: Scripted) -> None:
    began = time.monotonic()
    got, _ = raw(provider, scripted({"deltas": ["é"], "split": 64, "split_gap_s": 0.005}), until=LAST_CHUNK)
    assert got.count(b"\r\n40\r\n") >= 10
    assert time.monotonic() - began >= 10 * 0.005


# How it breaks


CUTS: dict[str, tuple[dict[str, Any], bytes, bool]] = {
    "clean": ({"how": "clean", "after": 1}, LAST_CHUNK, False),
    "close": ({"how": "close", "after": 1}, b"\n\n\r\n", False),
    "reset": ({"how": "reset", "after": 1}, b"\n\n\r\n", True),
    "half an event": ({"how": "half_event", "after": 1}, LAST_CHUNK, False),
    "half an event, then a reset": ({"how": "half_event", "after": 1, "then": "reset"}, b"\r\n", True),
    "half a character": ({"how": "half_utf8", "after": 1, "then": "close"}, b"\xc3\r\n", False),
    "no status line": ({"how": "close", "headers": False}, b"", False),
}


@pytest.mark.parametrize(("cut", "last", "is_reset"), CUTS.values(), ids=CUTS)
def test_cuts(provider: Provider, scripted: Scripted, cut: dict[str, Any], last: bytes, is_reset: bool) -> None:
    key = scripted({"deltas": ["one", "twô"], "cut": cut})
    got, was_reset = raw(provider, key, until=LAST_CHUNK if last == LAST_CHUNK else None)
    assert (got.endswith(last), was_reset) == (True, is_reset)
    assert (b'"one"' in got, "twô".encode() in got, b"DONE" in got) == (bool(last), False, False)
    assert provider.wait_ended(key)[0]["end"] == "scripted"


def test_a_cut_call(provider: Provider, scripted: Scripted) -> None:
    calls = [{"name": "f", "arguments": {"city": "São Paulo"}}]
    got, _ = raw(provider, scripted({"tool_calls": calls, "cut": {"how": "close", "after": 2}}))
    assert got.count(b'"tool_calls"') == 2
    assert b"finish_reason" in got
    assert b"Paulo" not in got


def test_a_cut_whole_answer(provider: Provider, scripted: Scripted) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        post(provider, scripted({"cut": {"how": "clean"}}))


def test_an_error_in_the_stream(provider: Provider, scripted: Scripted) -> None:
    answer = {"deltas": ["a", "b"], "error": {"after": 1, "message": "Oops", "code": "x"}}
    key = scripted(answer, answer)
    *_, delta, error = streamed(provider, key)
    assert delta["choices"][0]["delta"] == {"content": "a"}
    assert error == {"error": {"message": "Oops", "type": "server_error", "param": None, "code": "x"}}
    reply = post(provider, key)
    assert (reply.status_code, reply.json()) == (500, error)


STATUSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "400": ({"status": 400}, "application/json", "unsupported_value"),
    "401": ({"status": 401}, "application/json", "invalid_api_key"),
    "403": ({"status": 403}, "application/json", "permission_denied"),
    "404": ({"status": 404}, "application/json", "model_not_found"),
    "429": ({"status": 429, "headers": {"Retry-After": "3"}}, "application/json", "rate_limit_exceeded"),
    "502, unnamed": ({"status": 502}, "application/json", "Bad Gateway"),
    "503": ({"status": 503, "before_status_s": 0.01}, "application/json", "overloaded"),
    "a body of its own": ({"status": 422, "body": {"detail": [1]}}, "application/json", '{"detail":[1]}'),
    "plain text": ({"status": 500, "body": "Oops"}, "text/plain", "Oops"),
    "HTML with success": ({"body": "<p>", "content_type": "text/html"}, "text/html", "<p>"),
}


@pytest.mark.parametrize(("answer", "kind", "part"), STATUSES.values(), ids=STATUSES)
def test_statuses(provider: Provider, scripted: Scripted, answer: dict[str, Any], kind: str, part: str) -> None:
    reply = post(provider, key := scripted(answer), stream=True)
    assert (reply.status_code, reply.headers["content-type"]) == (answer.get("status", 200), kind)
    assert part in reply.text
    assert reply.headers.get("retry-after") == answer.get("headers", {}).get("Retry-After")
    assert provider.requests(key)[0]["end"] == "scripted"


def test_raw_bytes(provider: Provider, scripted: Scripted) -> None:
    sent = b"\xff\x00data: x\r\n\r"
    key = scripted({"raw": base64.b64encode(sent).decode(), "content_type": "text/html", "split": 3})
    reply = post(provider, key, stream=True)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, "text/html", sent)


def test_redirects(provider: Provider, scripted: Scripted) -> None:
    key = scripted({"redirect": "/v1/chat/completions"}, {"redirect": "http://x/", "status": 301})
    for status, place in ((307, "/v1/chat/completions"), (301, "http://x/")):
        reply = post(provider, key)
        assert (reply.status_code, reply.headers["location"], reply.content) == (status, place, b"")


# TLS


def test_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    provider = Provider(tmp_path, certificate=certificate)
    try:
        strict = ssl.create_default_context(cafile=certificate.cert)
        strict.verify_flags |= ssl.VERIFY_X509_STRICT
        for trusted in (strict, False):
            with httpx.Client(verify=trusted) as client:
                reply = client.post(f"{provider.base_url}/chat/completions", headers=HEADERS, json=a_body(stream=True))
                assert frames(reply)[-1] == "[DONE]"
        with pytest.raises(httpx.ConnectError, match="self-signed"):
            httpx.get(f"{provider.url}/models")
        provider.script("*", {"deltas": ["one", "two"], "cut": {"how": "reset", "after": 1}})
        with pytest.raises(httpx.TransportError):
            provider.client.post(PATH, headers=HEADERS, json=a_body(stream=True))
    finally:
        assert provider.stop() == 0


def test_it_ends_while_a_stream_is_open(tmp_path: Path) -> None:
    provider = Provider(tmp_path)
    provider.script("*", {"deltas": ["one", "two"], "pause": {"seconds": 30, "after": 1}})
    with httpx.stream("POST", provider.url + PATH, headers=HEADERS, json=a_body(stream=True)) as reply:
        next(reply.iter_lines())
        assert provider.stop() == 0
