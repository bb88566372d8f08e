"""LiteLLM's proxy in front of this one, with the file of deploy/examples."""

from collections.abc import Callable, Iterator
from time import monotonic

import openai
import pytest
from openai import OpenAI

from tests.clients.environments import environment
from tests.support.processes import CREDENTIALS, ROOT, Process, Proxy, StandIn

EXAMPLE = ROOT / "deploy" / "examples" / "litellm_proxy.yaml"
KEY = "sk-planted-key-for-callers-of-litellm-3f9a1c7d"
OURS = """
model_list:
  - {model_name: stackspot-ai-chat, litellm_params: {model: stackspot/agent}}
router_settings: {num_retries: 0}
proxy: {correlation: {also_accept: [x-correlation-id]}}
"""
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED = {"model": "stackspot-ai-chat", "messages": [{"role": "user", "content": "What is the weather in Recife?"}]}


@pytest.fixture(scope="module")
def ours(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that takes the header that LiteLLM hands on."""
    folder = tmp_path_factory.mktemp("ours")
    (folder / "config.yaml").write_text(OURS)
    process = Proxy(env=CREDENTIALS | stand_in.env, cwd=folder)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def litellm(
    ours: Proxy, tmp_path_factory: pytest.TempPathFactory, unused_tcp_port_factory: Callable[[], int]
) -> Iterator[str]:
    """LiteLLM's address."""
    port = unused_tcp_port_factory()
    process = Process(
        [str(environment("litellm") / "litellm"), "--config", str(EXAMPLE), "--host", "127.0.0.1", "--port", str(port)],
        {
            "STACKSPOT_PROXY_URL": f"{ours.url}/v1",
            "STACKSPOT_PROXY_KEY": "unused",
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
            "PYTHONWARNINGS": "ignore",
        },
        tmp_path_factory.mktemp("litellm"),
    )
    process.wait_for("Uvicorn running", seconds=100)
    url = f"http://127.0.0.1:{port}/v1"
    with OpenAI(base_url=url, api_key=KEY, default_headers={"x-correlation-id": "first"}) as caller:
        list(caller.chat.completions.create(**ASKED, stream=True))  # LiteLLM takes seconds for the first of all
    yield url
    process.stop()


@pytest.fixture
def client(litellm: str, correlation_id: str) -> Iterator[OpenAI]:
    """A caller of LiteLLM."""
    headers = {"x-correlation-id": correlation_id}
    with OpenAI(base_url=litellm, api_key=KEY, max_retries=0, default_headers=headers) as client:
        yield client


def test_stream(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """Tokens come through both proxies as they are made, under the caller's id."""
    words = [f"{number} " for number in range(20)]
    stand_in.script(correlation_id, {"deltas": words, "interval_s": 0.1})
    with client.chat.completions.create(**ASKED, stream=True) as stream:
        pieces = [(monotonic(), text) for chunk in stream if (text := chunk.choices[0].delta.content)]
    assert "".join(text for _, text in pieces) == "".join(words)
    assert pieces[-1][0] - pieces[0][0] > 0.5
    assert len(stand_in.requests(correlation_id)) in (1, 2)  # the second with a new login


def test_tool(client: OpenAI, correlation_id: str) -> None:
    """A tool call comes through whole."""
    choice = client.chat.completions.create(**ASKED, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Recife"}')


def test_failure_in_mid_stream(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """A stream that breaks off is an error at LiteLLM's callers, too."""
    cut = {"deltas": ["One ", "two "], "interval_s": 0.05, "cut": {"how": "close", "after": 2}}
    stand_in.script(correlation_id, cut)
    with (
        pytest.raises(openai.APIError, match="broke off in the middle"),
        client.chat.completions.create(**ASKED, stream=True) as stream,
    ):
        list(stream)


def test_refusal(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """Status and words of an error come through."""
    stand_in.script(correlation_id, {"refuse": "forbidden", "repeat": True})
    with pytest.raises(openai.APIStatusError, match="not shared with the proxy's StackSpot client") as raised:
        client.chat.completions.create(**ASKED)
    assert raised.value.status_code == 502
    assert len(stand_in.requests(correlation_id)) in (1, 2)  # the second with a new login


def test_missing_correlation_id(litellm: str) -> None:
    """Callers of LiteLLM without an id are told so."""
    with (
        OpenAI(base_url=litellm, api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match="send the header 'correlation-id' with an id"),
    ):
        client.chat.completions.create(**ASKED)
