"""OpenAI-compatible providers through a real proxy: untouched, whole, and each failure told for what it is."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, ask, body, finish_of, frames, stream, text_of
from tests.support.processes import Proxy
from tests.support.provider.certificate import self_signed
from tests.support.provider.process import Provider

MODEL = """\
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY{more}}}
router_settings: {{num_retries: 0}}
"""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def front(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy in front of the provider, with a model of a StackSpot-free config."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "config.yaml").write_text(MODEL.format(base=provider.base_url, more=""))
    process = Proxy(env={"KEY": "planted-provider-key"}, cwd=folder)
    yield process
    assert "planted-provider-key" not in process.output
    assert process.stop() == 0


def test_a_stream_comes_through_untouched(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, {"deltas": ["Olá", ", ", "mundo"]})
    with stream(front, correlation_id, model="gpt", temperature=0.5, made_up=[1]) as reply:
        found = frames(reply)
    assert ("Olá, mundo", "stop", "[DONE]") == (text_of(found), finish_of(found), found[-1])
    assert {"gpt-4-0613"} == {frame["model"] for frame in found[:-1]}
    assert all("system_fingerprint" in frame for frame in found[:-1])
    assert all(frame["choices"] for frame in found[:-1]), "nobody asked for a usage chunk"
    (sent,) = provider.requests(correlation_id)
    assert ("gpt-4", 0.5, [1]) == (sent["body"]["model"], sent["body"]["temperature"], sent["body"]["made_up"])
    assert "Bearer ***-key" == sent["headers"]["authorization"]
    assert correlation_id == sent["correlation_id"]
    assert "openai/gpt-4" == reply.headers["x-proxy-upstream-model"]


def test_usage_when_asked_for(front: Proxy, provider: Provider, correlation_id: str) -> None:
    with stream(front, correlation_id, model="gpt", stream_options={"include_usage": True}) as reply:
        found = frames(reply)
    assert [] == found[-2]["choices"]
    line = front.wait_event(event="request.finished", correlation_id=correlation_id)
    assert found[-2]["usage"]["completion_tokens"] == line["completion_tokens"]


def test_a_whole_answer_comes_through_untouched(front: Proxy, provider: Provider, correlation_id: str) -> None:
    answer = ask(front, correlation_id, model="gpt", n=1, seed=7).json()
    assert "gpt-4-0613" == answer["model"]
    assert "system_fingerprint" in answer
    (sent,) = provider.requests(correlation_id)
    assert ("stream" in sent["body"], 7) == (False, sent["body"]["seed"])


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no finish, no [DONE]": ({"finish": False, "done": False}, "upstream_truncated"),
    "a [DONE] without a finish": ({"finish": False}, "upstream_truncated"),
    "closed": ({"cut": {"how": "close", "after": 3}}, "upstream_truncated"),
    "reset": ({"cut": {"how": "reset", "after": 3}}, "upstream_truncated"),
    "half an event": ({"cut": {"how": "half_event", "after": 3}}, "upstream_truncated"),
    "an error": ({"error": {"after": 3}}, "upstream_stream_error"),
}


@pytest.mark.parametrize("interval", [0, 0.01], ids=["at once", "apart"])
@pytest.mark.parametrize("case", FAULTS)
def test_faults_in_a_stream(front: Proxy, provider: Provider, correlation_id: str, case: str, interval: float) -> None:
    fault, code = FAULTS[case]
    provider.script(correlation_id, {"deltas": ["ab", "cd", "ef"], "interval_s": interval} | fault)
    with stream(front, correlation_id, model="gpt") as reply:
        found = frames(reply)
    assert ("abcdef", None, code) == (text_of(found), finish_of(found), found[-1]["error"]["code"])
    assert 1 == len(provider.requests(correlation_id))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_faults_in_a_whole_answer(front: Proxy, provider: Provider, correlation_id: str, how: str) -> None:
    provider.script(correlation_id, {"text": "Hello", "cut": {"how": how, "after": 1}})
    reply = ask(front, correlation_id, model="gpt")
    assert (502, "upstream_truncated") == (reply.status_code, reply.json()["error"]["code"])


REFUSALS: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "400": ({"status": 400}, 400, None),
    "401": ({"status": 401}, 502, "upstream_auth"),
    "403": ({"status": 403}, 502, "upstream_forbidden"),
    "404": ({"status": 404}, 502, "upstream_not_found"),
    "429": ({"status": 429, "headers": {"retry-after": "7"}}, 429, "rate_limit_exceeded"),
    "503": ({"status": 503, "headers": {"retry-after": "9"}}, 502, "upstream_failed"),
    "a redirect": ({"redirect": "/elsewhere"}, 502, "upstream_rejected"),
}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(front: Proxy, provider: Provider, correlation_id: str, case: str, streamed: bool) -> None:
    answer, status, code = REFUSALS[case]
    provider.script(correlation_id, answer)
    reply = ask(front, correlation_id, model="gpt", stream=streamed)
    assert status == reply.status_code
    assert code in (None, reply.json()["error"]["code"])
    assert answer.get("headers", {}).get("retry-after") == reply.headers.get("retry-after")


def test_a_caller_that_leaves_takes_the_provider_along(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, {"text": "Hello", "pause": {"seconds": 30, "after": 1}})
    headers = {"correlation-id": correlation_id}
    with httpx.Client(base_url=front.url, timeout=0.4, headers=headers) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post(PATH, json=body(model="gpt", stream=True))
    started = time.monotonic()
    assert ["client_closed"] == [request["end"] for request in provider.wait_ended(correlation_id)]
    assert 1 > time.monotonic() - started


def test_variables_alone_stream_and_collect(launch: Launch, provider: Provider, correlation_id: str) -> None:
    env = {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": provider.base_url, "LLM_API_KEY": "k", "LLM_MODEL": "XYZ"}
    nothing = dict.fromkeys(("CLIENT_ID", "CLIENT_SECRET", "REALM", "GENAI_AGENT_ID"), "")
    proxy = launch(env=nothing | env)
    provider.script(correlation_id, {"deltas": ["Olá", "!"]})
    answer = ask(proxy, correlation_id, model="XYZ").json()
    assert ("Olá!", "XYZ-0613") == (answer["choices"][0]["message"]["content"], answer["model"])
    assert provider.requests(correlation_id)[0]["body"]["stream"] is True


TLS = [("", "upstream_tls"), (", ssl_verify: false", None), (", ssl_verify: {bundle}", None)]


@pytest.mark.parametrize(("setting", "code"), TLS, ids=["system store", "not checked", "a bundle"])
def test_tls(launch: Launch, tmp_path: Path, correlation_id: str, setting: str, code: str | None) -> None:
    certificate = self_signed(tmp_path)
    provider = Provider(tmp_path, certificate=certificate)
    try:
        more = setting.format(bundle=certificate.cert)
        proxy = launch(MODEL.format(base=provider.base_url, more=more), env={"KEY": "k"})
        reply = ask(proxy, correlation_id, model="gpt")
        assert (502 if code else 200) == reply.status_code
        assert code in (None, reply.json().get("error", {}).get("code"))
        assert ("ssl_verify" in reply.text) is (code is not None), "the message says what to set"
        assert ("tls.verification_disabled" in proxy.output) is ("false" in setting)
    finally:
        provider.stop()


def test_nothing_listens(launch: Launch, correlation_id: str) -> None:
    proxy = launch(MODEL.format(base="http://127.0.0.1:1/v1", more=""), env={"KEY": "k"})
    reply = ask(proxy, correlation_id, model="gpt")
    assert (502, "upstream_unreachable") == (reply.status_code, reply.json()["error"]["code"])
    assert "127.0.0.1" not in reply.text
    assert "no connection to 127.0.0.1:1: " in proxy.wait_event(event="upstream.failed")["reason"]
