"""Upstreams that quote a prompt, in any form and any place: the caller reads it, no log line, span or record has it."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, ask, frames, stream
from tests.support.collector import Collector
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider
from tests.telemetry.conftest import PLANTED_KEY, SOON

PROMPT = 'planted: "quagga" and\nzephyr, under the gazebo of Wyvernhall? <vexillum> naïve kumquat at the yurt'
WORDS = ("planted", "quagga", "zephyr", "gazebo", "wyvernhall", "vexillum", "kumquat", "yurt")
PIECE = 12
"""Characters of an encoded prompt that would show it."""
CONFIG = """\
model_list:
  - {{model_name: agent, litellm_params: {{model: stackspot/agent}}}}
  - {{model_name: gpt, litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY}}}}
router_settings: {{num_retries: 0, allowed_fails: 1000}}
proxy: {{run_records: runs}}
"""

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "escaped": lambda text: json.dumps(text),
    "escaped twice": lambda text: json.dumps(json.dumps(text)),
    "by repr": repr,
    "on one line": lambda text: " ".join(text.split()),
    "upper case": str.upper,
    "spaced": lambda text: " ".join(text),
    "in pieces": lambda text: "'] ['".join(text.split()),
    "without spaces": lambda text: "".join(text.split()),
    "its words with underscores": lambda text: "_".join(text.split()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "reversed": lambda text: text[::-1],
    "in a schema": lambda text: json.dumps({"enum": text.split(), "description": text}),
}
COLLECTED = "collected"
"""A model whose answers are read and put together, not passed on as they come."""
Place = Callable[[str], dict[str, Any]]


def error(status: int, **fields: Any) -> dict[str, Any]:
    return {"status": status, "body": {"error": {"message": "No.", "type": "t", "param": None, "code": None} | fields}}


OF_PROVIDERS: dict[str, Place] = {
    "message, 400": lambda said: error(400, message=said),
    "message, 403": lambda said: error(403, message=said),
    "message, 404": lambda said: error(404, message=said),
    "message, 409": lambda said: error(409, message=said),
    "message, 429": lambda said: error(429, message=said),
    "message, 500": lambda said: error(500, message=said),
    "type": lambda said: error(400, type=said),
    "code": lambda said: error(422, code=said),
    "code, 500": lambda said: error(500, code=said),
    "param": lambda said: error(413, param=said),
    "a code that is a list": lambda said: error(400, code=[said], param={"a": said}, type={said: 1}),
    "another field": lambda said: error(400, failed_generation=said),
    "an error that is a text": lambda said: {"status": 400, "body": {"error": said}},
    "plain text": lambda said: {"status": 400, "body": said},
    "plain text, 500": lambda said: {"status": 503, "body": f"<html>{said}</html>"},
    "headers": lambda said: error(500) | {"headers": {"x-request-id": header(said), "retry-after": header(said)}},
    "a cookie": lambda said: error(500) | {"headers": {"set-cookie": f"{header(said)}; a={header(said)}"}},
    "in the stream": lambda said: {"deltas": ["a"], "error": {"after": 1, "message": said, "code": said, "type": said}},
    "in the stream, at first": lambda said: {"deltas": ["a"], "error": {"after": 0, "message": said, "param": said}},
    "the model": lambda said: {"text": "a", "model": said},
    "the reason": lambda said: {"text": "a", "finish_reason": said},
}
OF_STACKSPOT: dict[str, Place] = {
    "details, 400": lambda said: {"status": 400, "body": {"type": "t", "code": "E_1", "details": said}},
    "details, 500": lambda said: {"status": 500, "body": {"type": "t", "code": "E_1", "details": said}},
    "too long": lambda said: {"status": 400, "body": {"code": "INFERENCE_6001", "details": said}},
    "code": lambda said: {"status": 422, "body": {"type": said, "code": said, "details": "no"}},
    "plain text": lambda said: {"status": 400, "body": said},
    "a list": lambda said: {"status": 400, "body": [said]},
    "in the stream": lambda said: {"deltas": ["a"], "error": {"form": "type", "after": 1, "message": said}},
    "in the stream, an envelope": lambda said: raw({"code": said, "details": said}),
    "in the stream, an object": lambda said: raw({"error": {"message": said, "code": said}}),
    "a reason": lambda said: raw({"message": "a", "stop_reason": f"failed {said}"}),
    "a call": lambda said: {"text": f"FUNCTION_CALL_START\n{said}\narguments: {{}}\nFUNCTION_CALL_END"},
    "a broken call": lambda said: {"text": f"FUNCTION_CALL_START\nlook\narguments: {said}\nFUNCTION_CALL_END"},
}  # fmt: skip
MODELS = ("agent", "gpt", COLLECTED)
AT_ONCE = {"interval_s": 0}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def header(said: str) -> str:
    return " ".join(said.encode("ascii", "replace").decode().split())


def raw(event: dict[str, Any]) -> dict[str, Any]:
    return {"raw": base64.b64encode(b"data: " + json.dumps(event).encode() + b"\n\n").decode()}


def shows_prompt(text: str) -> list[str]:
    """What of the prompt is in a text, in whatever form."""
    lower, letters = text.lower(), "".join(c for c in text.lower() if c.isalnum())
    encoded = [base64.b64encode(PROMPT[start:].encode()).decode()[8:48] for start in range(3)]
    encoded += [PROMPT.encode().hex()]
    pieces = [code[at : at + PIECE] for code in encoded for at in range(0, len(code) - PIECE, PIECE)]
    return [
        *(word for word in WORDS if word in lower or word in letters or word[::-1] in lower),
        *(piece for piece in pieces if piece in text),
    ]


@pytest.fixture(scope="module")
def quoting(
    stand_in: StandIn, provider: Provider, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("quoting")
    (folder / "config.yaml").write_text(CONFIG.format(base=provider.base_url))
    env = {"KEY": PLANTED_KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | SOON
    env |= {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": provider.base_url, "LLM_API_KEY": PLANTED_KEY}
    env |= {"LLM_MODEL": COLLECTED}
    process = Proxy(env=CREDENTIALS | stand_in.env | env, cwd=folder)
    yield process
    assert process.stop() == 0
    assert [] == process.events(code="upstream_auth"), "the provider has answered as it was told to"
    assert [] == [line for line in process.lines if shows_prompt(line) and "tool_call.arguments" not in line]
    (records,) = folder.glob("runs/*/interactions.jsonl")
    lines = records.read_text().splitlines()
    assert [] == [line for line in lines if shows_prompt(line)]
    spans = [span for span in collector.spans() if span["attributes"].get("gen_ai.request.model") in MODELS]
    assert len(lines) <= len(spans)
    assert [] == [span for span in spans if shows_prompt(repr(span))]


@pytest.mark.parametrize("form", FORMS)
def test_providers(quoting: Proxy, provider: Provider, correlation_id: str, form: str) -> None:
    said = FORMS[form](PROMPT)
    for number, (place, answer) in enumerate(OF_PROVIDERS.items()):
        name = f"{correlation_id}-{number}"
        provider.script(name, AT_ONCE | answer(said))
        status = ask_in_turns(quoting, name, number, model="gpt")
        assert status in (200, 400, 413, 422, 429, 502), place


@pytest.mark.parametrize("form", FORMS)
def test_calls_of_a_provider(quoting: Proxy, provider: Provider, correlation_id: str, form: str) -> None:
    name = FORMS[form](PROMPT)
    provider.script(correlation_id, AT_ONCE | {"tool_calls": [{"name": name, "arguments": "{}"}], "model": name})
    answer = ask(quoting, correlation_id, model=COLLECTED, tools=TOOLS, text=PROMPT).json()
    assert name == answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"]
    assert "***" == quoting.wait_event(event="tool_call.detected", correlation_id=correlation_id)["name"]


@pytest.mark.parametrize("form", FORMS)
def test_stackspot(quoting: Proxy, stand_in: StandIn, correlation_id: str, form: str) -> None:
    said = FORMS[form](PROMPT)
    for number, (place, answer) in enumerate(OF_STACKSPOT.items()):
        name = f"{correlation_id}-{number}"
        stand_in.script(name, *[AT_ONCE | answer(said)] * 2)
        status = ask_in_turns(quoting, name, number, model="agent", tools=TOOLS)
        assert status in (200, 400, 502), place


def ask_in_turns(proxy: Proxy, correlation_id: str, number: int, **fields: Any) -> int:
    """Every second request is streamed. The status."""
    if number % 2:
        return ask(proxy, correlation_id, text=PROMPT, **fields).status_code
    with stream(proxy, correlation_id, text=PROMPT, **fields) as reply:
        reply.read()
    return reply.status_code


def test_callers_read_what_the_provider_says(quoting: Proxy, provider: Provider, correlation_id: str) -> None:
    fields = {"message": f"not: {PROMPT}", "type": "a type", "param": "a param", "code": "a code"}
    provider.script(correlation_id, error(400, **fields))
    reply = ask(quoting, correlation_id, model="gpt", text=PROMPT)
    assert (400, fields) == (reply.status_code, reply.json()["error"])
    line = quoting.wait_event(event="request.rejected", correlation_id=correlation_id)
    assert ("the provider of 'gpt' refused the request (status 400)", None, None) == (
        line["reason"], line["code"], line["param"],
    )  # fmt: skip


def test_a_code_of_one_word_is_logged(quoting: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, error(400, code="rate.limit-2_A", param="messages[2].content"))
    ask(quoting, correlation_id, model="gpt")
    line = quoting.wait_event(event="request.rejected", correlation_id=correlation_id)
    assert ("rate.limit-2_A", "messages[2].content") == (line["code"], line["param"])
    assert line["reason"].endswith("(status 400, code rate.limit-2_A)")


def test_the_words_are_logged_with_messages(launch: Launch, provider: Provider, correlation_id: str) -> None:
    proxy = launch(CONFIG.format(base=provider.base_url), env={"KEY": PLANTED_KEY, "LOG_MESSAGES": "true"})
    provider.script(correlation_id, error(500, message=f"not: {PROMPT}"), {"deltas": ["a"], "error": {"after": 1}})
    assert 502 == ask(proxy, correlation_id, model="gpt").status_code
    line = proxy.wait_event(event="upstream.message", correlation_id=correlation_id)
    assert ("openai/gpt-4", "upstream_failed", "info") == (line["upstream"], line["code"], line["level"])
    assert line["message"].endswith(f"not: {PROMPT}")
    assert "quagga" not in proxy.wait_event(event="upstream.failed", correlation_id=correlation_id)["reason"]
    with stream(proxy, correlation_id, model="gpt") as reply:
        told = frames(reply)[-1]["error"]["message"]
    assert told == proxy.wait_event(event="upstream.message", code="upstream_stream_error")["message"]


def test_a_caller_s_own_words_are_not_logged(quoting: Proxy, correlation_id: str) -> None:
    """What a request is refused for quotes it as well: a model's name, a schema that is none."""
    schema = {"type": "object", "properties": {"a": {"pattern": f"({PROMPT}" * 5}, "b": {"type": PROMPT * 5}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    for fields in ({"model": PROMPT}, {"response_format": form}, {"tool_choice": {"type": PROMPT}}):
        headers = {"correlation-id": correlation_id}
        body = {"model": "agent", "messages": [{"role": "user", "content": PROMPT}]} | fields
        assert quoting.client.post(PATH, headers=headers, json=body).status_code in (400, 404)
