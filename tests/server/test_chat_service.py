"""``POST /chat`` and ``GET /models``: the chat service that its users had before, with its requests as they wrote them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import ONCE, Launch
from tests.support.chat import frames, text_of
from tests.support.processes import Proxy, StandIn
from tests.support.provider.process import Provider

ASKED = {
    "model": "chat/llama-small",
    "messages": [{"role": "user", "content": "Explique, em ate 120 palavras, o que e consistencia eventual e cite 1 caso de uso comum."}],
    "params": {"temperature": 0.2, "top_p": 0.9, "max_tokens": 512, "seed": 42, "stream": False, "json_mode": False},
}  # fmt: skip
KEYS = ["output", "provider", "model", "usage", "latency_ms"]
HI = [{"role": "user", "content": "Hi"}]
STACKSPOT = {"model": "stackspot", "messages": HI}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture
def served(launch: Launch, provider: Provider) -> Proxy:
    params = f'{{model: groq/llama-3.1-8b-instant, api_base: "{provider.base_url}", api_key: sk-1}}'
    models = f"model_list:\n  - {{model_name: chat/llama-small, aliases: [small], litellm_params: {params}}}\n"
    provider.reset()
    return launch(f"{models}  - {{model_name: stackspot, litellm_params: {{model: stackspot/agent}}}}\n{ONCE}")


def chat(proxy: Proxy, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return proxy.client.post("/chat", json=body, headers=sent)


def test_as_the_service_had_it(served: Proxy, provider: Provider) -> None:
    """No correlation id is needed, every parameter reaches the provider, and its own name for the model comes back."""
    provider.script("*", {"text": "Consistência eventual é assim."})
    reply = chat(served, ASKED)
    answer = reply.json()
    assert (200, KEYS) == (reply.status_code, list(answer))
    assert "Consistência eventual é assim." == answer["output"]
    assert ("groq", True) == (answer["provider"], answer["model"].startswith("llama-3.1-8b-instant"))
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert 0 < answer["latency_ms"] < 30_000
    (sent,) = provider.requests()
    assert {"temperature": 0.2, "top_p": 0.9, "max_tokens": 512, "seed": 42, "stream": False} == {
        key: value for key, value in sent["body"].items() if key not in ("model", "messages")
    }
    assert reply.headers["correlation-id"] == reply.headers["x-request-id"] == sent["headers"]["correlation-id"]
    finished = served.wait_event(event="request.finished")
    assert ("chat/llama-small", 200) == (finished["model"], finished["status"])
    assert 1 == served.metric("proxy_requests_total", route="/chat", model="chat/llama-small", status="200")


def test_by_stackspot(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"text": "Olá!"})
    reply = chat(proxy, STACKSPOT | {"params": {"seed": 1}}, correlation_id=correlation_id)
    answer = reply.json()
    assert ["Olá!", "stackspot", "agent"] == [answer[key] for key in ("output", "provider", "model")]
    assert (correlation_id, "seed") == (reply.headers["correlation-id"], reply.headers["x-proxy-ignored-params"])


@pytest.mark.parametrize("model", ["stackspot", "small"])
def test_a_stream_is_that_of_v1(
    served: Proxy, stand_in: StandIn, provider: Provider, correlation_id: str, model: str
) -> None:
    provider.script("*", {"text": "One two"})
    stand_in.script(correlation_id, {"text": "One two"})
    body = {"model": model, "messages": HI, "params": {"stream": True}}
    with served.client.stream("POST", "/chat", json=body, headers={"correlation-id": correlation_id}) as reply:
        found = frames(reply)
    assert "text/event-stream" in reply.headers["content-type"]
    assert ("One two", "[DONE]") == (text_of(found), found[-1])
    assert "chat.completion.chunk" == found[0]["object"]


def test_json_mode(served: Proxy, stand_in: StandIn, provider: Provider, correlation_id: str) -> None:
    """Prose round it is taken off; what is no JSON at all becomes an error, not an answer."""
    body = STACKSPOT | {"params": {"json_mode": True}}
    stand_in.script(correlation_id, {"text": '```json\n{"a": 1}\n```'}, {"text": "No."}, {"text": "No!"})
    assert {"a": 1} == json.loads(chat(served, body, correlation_id=correlation_id).json()["output"])
    assert "response_format_not_met" == chat(served, body, correlation_id=correlation_id).json()["error"]["code"]
    provider.script("*", {"text": "{}"})
    assert 200 == chat(served, body | {"model": "small"}).status_code
    assert {"type": "json_object"} == provider.requests()[-1]["body"]["response_format"]


WRONG: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "no messages": ({"model": "stackspot"}, "messages", None),
    "a parameter out of range": (STACKSPOT | {"params": {"temperature": 9}}, "params.temperature", None),
    "a parameter of another type": (STACKSPOT | {"params": {"json_mode": "yes"}}, "params.json_mode", None),
    "a message without content": ({"model": "stackspot", "messages": [{"role": "user"}]}, "messages[0].content", None),
    "an unknown model": ({"model": "nope", "messages": HI}, "model", "model_not_found"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_openais(proxy: Proxy, case: str) -> None:
    body, param, code = WRONG[case]
    reply = chat(proxy, body)
    error = reply.json()["error"]
    assert (404 if code else 400) == reply.status_code
    assert ("invalid_request_error", param, code) == (error["type"], error["param"], error["code"])


def test_a_wrong_correlation_id_is_refused(proxy: Proxy) -> None:
    assert "correlation_id_invalid" == chat(proxy, STACKSPOT, correlation_id="a b").json()["error"]["code"]


def test_an_upstream_that_fails(served: Proxy, stand_in: StandIn, provider: Provider, correlation_id: str) -> None:
    stand_in.script(correlation_id, {"deltas": ["Half "], "cut": {"how": "close", "after": 1}})
    broken = chat(served, STACKSPOT, correlation_id=correlation_id)
    assert (502, "upstream_truncated") == (broken.status_code, broken.json()["error"]["code"])
    provider.script("*", {"status": 200, "body": {"id": "x", "choices": []}})
    empty = chat(served, ASKED)
    assert (502, "upstream_stream_error") == (empty.status_code, empty.json()["error"]["code"])
    assert [] == served.events(event="request.failed")


def test_what_is_not_known_of_a_message_goes_on_to_providers(served: Proxy, provider: Provider) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,x"}, "made_up": "x"}]
    provider.script("*", {"text": "A picture."})
    assert 200 == chat(served, {"model": "small", "messages": [{"role": "user", "content": parts}]}).status_code
    assert parts == provider.requests()[-1]["body"]["messages"][0]["content"]


def test_the_models(served: Proxy) -> None:
    listed = served.client.get("/models").json()
    llama = {"provider": "groq", "model": "llama-3.1-8b-instant"}
    agent = {"provider": "stackspot", "model": "agent"}
    assert {"chat/llama-small": llama, "small": llama, "stackspot": agent} == listed["aliases"]
    assert served.client.get("/v1/models").json()["data"] == [
        {key: value for key, value in entry.items() if key not in ("provider", "target")} for entry in listed["data"]
    ]
    assert ("groq", "llama-3.1-8b-instant") == (listed["data"][0]["provider"], listed["data"][0]["target"])


def test_a_models_json(launch: Launch, provider: Provider, tmp_path: Any) -> None:
    """As its users have it, the endpoint apart."""
    aliases = {"chat/llama-small": {"provider": "groq", "model": "llama-3.1-8b-instant"}}
    (tmp_path / "models.json").write_text(json.dumps({"aliases": aliases}))
    proxy = launch(env={"PROXY_CONFIG": "models.json", "GROQ_API_KEY": "gsk-1"})
    assert aliases == proxy.client.get("/models").json()["aliases"]
    assert "ok" == proxy.client.get("/healthz").json()["status"]
