"""Retries, fallbacks and cool-downs through a real proxy: what each upstream sees, and what the caller gets."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Launch
from tests.support.chat import WEATHER_TOOL, ask, finish_of, frames, stream, text_of
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider

ROUTES = """\
model_list:
  - model_name: main
    litellm_params: {{model: openai/big, api_base: "{base}", api_key: os.environ/KEY}}
  - model_name: spare
    aliases: [reserve]
    litellm_params: {{model: openai/small, api_base: "{base}", api_key: os.environ/KEY}}
  - model_name: agent
    litellm_params: {{model: stackspot/agent}}
  - model_name: gone
    litellm_params: {{model: openai/gone, api_base: "http://127.0.0.1:1/v1", api_key: os.environ/KEY}}
router_settings:
  num_retries: 2
  allowed_fails: 1000
  fallbacks: [{{main: [spare]}}, {{agent: [reserve]}}, {{gone: [spare]}}]
proxy:
  timeouts: {{first_token: 0.5}}
"""
ANSWER = {"text": "All is well."}
BROKEN = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the "old" town"}\nFUNCTION_CALL_END'
MENDED_CALL = 'FUNCTION_CALL_START\nget_weather\narguments: {"city": "the old town"}\nFUNCTION_CALL_END'


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture
def front(provider: Provider, stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a retry budget of its own."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "config.yaml").write_text(ROUTES.format(base=provider.base_url))
    account = CREDENTIALS | {"CLIENT_ID": "routing"}
    process = Proxy(env=account | stand_in.env | {"KEY": "planted-provider-key"}, cwd=folder)
    yield process
    assert process.stop() == 0


def answered(front: Proxy, correlation_id: str, streamed: bool, **fields: Any) -> tuple[str, str]:
    """What the caller got, and who it is told has answered."""
    if streamed:
        with stream(front, correlation_id, **fields) as reply:
            assert 200 == reply.status_code, reply.read()
            found = frames(reply)
        assert ("stop", "[DONE]") == (finish_of(found), found[-1])
        return text_of(found), reply.headers["x-proxy-upstream-model"]
    reply = ask(front, correlation_id, **fields)
    assert 200 == reply.status_code, reply.text
    return reply.json()["choices"][0]["message"]["content"], reply.headers["x-proxy-upstream-model"]


def models_asked(provider: Provider, correlation_id: str) -> list[str]:
    return [request["body"]["model"] for request in provider.requests(correlation_id)]


MENDED: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "500": {"status": 500},
}


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("case", MENDED)
def test_a_retry_mends_it(front: Proxy, provider: Provider, correlation_id: str, case: str, streamed: bool) -> None:
    provider.script(correlation_id, MENDED[case], ANSWER)
    assert (ANSWER["text"], "openai/big") == answered(front, correlation_id, streamed, model="main")
    assert ["big", "big"] == models_asked(provider, correlation_id)
    line = front.wait_event(event="upstream.retried", correlation_id=correlation_id)
    assert ("main", "openai/big") == (line["model"], line["upstream"])
    assert 2 == front.wait_event(event="request.finished", correlation_id=correlation_id)["rounds"]


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_request_that_was_taken_and_not_answered_is_not_repeated(
    front: Proxy, provider: Provider, correlation_id: str, streamed: bool, how: str
) -> None:
    """It may have been generated: neither the model nor a fallback gets it again."""
    provider.script(correlation_id, {"before_status_s": 0.2, "cut": {"how": how, "headers": False}}, ANSWER)
    reply = ask(front, correlation_id, model="main", stream=streamed)
    assert (502, "upstream_disconnected") == (reply.status_code, reply.json()["error"]["code"])
    assert ["big"] == models_asked(provider, correlation_id)


def test_a_retry_waits_for_as_long_as_it_is_told(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, {"status": 429, "headers": {"retry-after": "1"}}, ANSWER)
    started = time.monotonic()
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, False, model="spare")
    assert ["small", "small"] == models_asked(provider, correlation_id)
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_fallback_is_not_kept_waiting(front: Proxy, provider: Provider, correlation_id: str, status: int) -> None:
    provider.script(correlation_id, {"status": status, "headers": {"retry-after": "50"}}, ANSWER)
    started = time.monotonic()
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, False, model="main")
    assert ["big", "small"] == models_asked(provider, correlation_id)
    assert time.monotonic() - started < 25


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_silence_moves_on_to_the_fallback_and_is_not_repeated(
    front: Proxy, provider: Provider, correlation_id: str, streamed: bool
) -> None:
    provider.script(correlation_id, {"before_status_s": 20}, ANSWER)
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, streamed, model="main")
    assert ["big", "small"] == models_asked(provider, correlation_id)
    assert "client_closed" == provider.wait_ended(correlation_id, 2)[0]["end"], "it must not go on for nobody"
    line = front.wait_event(event="request.finished", correlation_id=correlation_id)
    assert ("spare", "openai/small", "complete") == (line["model"], line["upstream"], line["end_reason"])
    moved = front.wait_event(event="upstream.fell_back", correlation_id=correlation_id)
    assert ("main", "spare", "first_token_timeout") == (moved["model"], moved["to"], moved["code"])


def test_nothing_but_empty_deltas_is_silence(
    front: Proxy, provider: Provider, stand_in: StandIn, correlation_id: str
) -> None:
    stand_in.script(correlation_id, {"deltas": [""], "endless_empty": True, "interval_s": 0.02})
    provider.script(correlation_id, ANSWER)
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, True, model="agent")


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_spent_credit_moves_on_at_once(
    front: Proxy, provider: Provider, stand_in: StandIn, correlation_id: str, streamed: bool
) -> None:
    stand_in.script(correlation_id, {"refuse": "credit"})
    provider.script(correlation_id, ANSWER)
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, streamed, model="agent")
    assert (1, 1) == (len(stand_in.requests(correlation_id)), len(provider.requests(correlation_id)))


def test_nobody_listens(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, ANSWER)
    before = front.metric("proxy_retries_total", model="gone")
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, True, model="gone")
    assert ["small"] == models_asked(provider, correlation_id)
    assert 3 == front.metric("proxy_retries_total", model="gone") - before, "two retries, then the fallback"
    assert 1 == front.metric("proxy_retries_total", model="gone", kind="fallback")


def test_the_fallback_fails_as_well(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, {"status": 503}, {"status": 500}, {"status": 503}, {"status": 401})
    reply = ask(front, correlation_id, model="main")
    assert (502, "upstream_auth") == (reply.status_code, reply.json()["error"]["code"])
    assert ["big", "big", "big", "small"] == models_asked(provider, correlation_id), "four, one of them kept"


def test_the_middle_of_an_answer_is_never_repeated(front: Proxy, provider: Provider, correlation_id: str) -> None:
    provider.script(correlation_id, {"deltas": ["ab", "cd"], "cut": {"how": "reset", "after": 1}})
    with stream(front, correlation_id, model="main") as reply:
        found = frames(reply)
    assert ("ab", "upstream_truncated") == (text_of(found), found[-1]["error"]["code"])
    assert ["big"] == models_asked(provider, correlation_id)


def test_repairs_and_retries_share_one_ceiling(
    front: Proxy, provider: Provider, stand_in: StandIn, correlation_id: str
) -> None:
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    stand_in.script(correlation_id, {"text": BROKEN}, {"refuse": "unavailable"}, {"refuse": "unavailable"}, ANSWER)
    provider.script(correlation_id, ANSWER)
    assert (ANSWER["text"], "openai/small") == answered(front, correlation_id, True, model="agent", tools=[tool])
    prompts = [request["body"]["user_prompt"] for request in stand_in.requests(correlation_id)]
    assert [False, True, True] == ['the "old" town' in prompt for prompt in prompts], "answer, repair, repair"
    assert 1 == len(provider.requests(correlation_id)), "one was kept for the fallback"


def test_refused_repair_is_repeated(front: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    """The prompt that it repairs was answered: it must not be generated a second time."""
    stand_in.script(correlation_id, {"text": BROKEN}, {"refuse": "unavailable"}, {"text": MENDED_CALL})
    reply = ask(front, correlation_id, model="agent", tools=[WEATHER_TOOL])
    called = reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert {"name": "get_weather", "arguments": '{"city": "the old town"}'} == called
    prompts = [request["body"]["user_prompt"] for request in stand_in.requests(correlation_id)]
    assert [False, True, True] == ['the "old" town' in prompt for prompt in prompts]


MANY = """\
model_list:
  - {model_name: agent, litellm_params: {model: stackspot/agent}}
  - {model_name: two, litellm_params: {model: stackspot/two}}
  - {model_name: three, litellm_params: {model: stackspot/three}}
  - {model_name: four, litellm_params: {model: stackspot/four}}
  - {model_name: five, litellm_params: {model: stackspot/five}}
router_settings: {fallbacks: [{agent: [two, three, four, five]}]}
"""


def test_repairs_work_beside_many_fallbacks(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    """No fallback serves what a repair or a shorter prompt can mend: no call is reserved for them."""
    proxy = launch(MANY)
    stand_in.script(correlation_id, {"refuse": "context_length"}, {"text": BROKEN}, {"text": MENDED_CALL})
    history = [{"role": "user", "content": f"{number}: " + "x" * 1000} for number in range(50)]
    reply = ask(proxy, correlation_id, model="agent", tools=[WEATHER_TOOL], messages=history)
    assert 200 == reply.status_code, reply.text
    assert "get_weather" == reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"]
    assert "stackspot/agent" == reply.headers["x-proxy-upstream-model"]
    assert 3 == len(stand_in.requests(correlation_id))


def test_refused_repair_goes_to_a_fallback_as_a_repair(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(MANY)
    stand_in.script(correlation_id, {"text": BROKEN}, {"refuse": "unavailable"}, {"text": MENDED_CALL})
    reply = ask(proxy, correlation_id, model="agent", tools=[WEATHER_TOOL])
    assert "get_weather" == reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"]
    assert "stackspot/two" == reply.headers["x-proxy-upstream-model"]
    prompts = [request["body"]["user_prompt"] for request in stand_in.requests(correlation_id)]
    assert [False, True, True] == ['the "old" town' in prompt for prompt in prompts]


def test_a_renewed_login_does_not_count(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    config = "model_list:\n  - {model_name: m, litellm_params: {model: stackspot/a}}\nrouter_settings: {max_upstream_calls: 1}\n"
    proxy = launch(config, env={"CLIENT_ID": "renewed"})
    assert 200 == ask(proxy, f"{correlation_id}-first", model="m").status_code
    stand_in.script(correlation_id, {"refuse": "unauthorized"}, ANSWER)
    assert (ANSWER["text"], "stackspot/a") == answered(proxy, correlation_id, False, model="m")
    assert 2 == len(stand_in.requests(correlation_id))


def test_keepalives_while_a_fallback_is_waited_for(launch: Launch, provider: Provider, correlation_id: str) -> None:
    config = ROUTES.format(base=provider.base_url).replace(
        "{first_token: 0.5}", "{first_token: 1.5}\n  commit_after: 0.3\n  keepalive_s: 0.3"
    )
    proxy = launch(config, env={"KEY": "k"})
    provider.script(correlation_id, {"before_status_s": 20}, ANSWER)
    with stream(proxy, correlation_id, model="main") as reply:
        lines = [line for line in reply.iter_lines() if line]
    assert ": keepalive" == lines[0]
    assert "data: [DONE]" == lines[-1]
    assert not any("error" in line for line in lines)


def test_a_limit_of_stackspot_makes_the_account_wait(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    config = "model_list:\n  - {model_name: m, litellm_params: {model: stackspot/a}}\n"
    proxy = launch(config, env={"CLIENT_ID": "limited"})
    stand_in.script(correlation_id, {"refuse": "rate_limited"}, ANSWER)
    started = time.monotonic()
    assert (ANSWER["text"], "stackspot/a") == answered(proxy, correlation_id, False, model="m")
    assert 4.8 < time.monotonic() - started < 8
    assert 2 == len(stand_in.requests(correlation_id))
    assert 4.5 < proxy.metric("proxy_quota_wait_seconds_sum") < 8


SHARED = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/one, api_base: "{one}", api_key: k}}
  - model_name: m
    litellm_params: {{model: openai/two, api_base: "{two}", api_key: k}}
router_settings: {{num_retries: 1, allowed_fails: 1, cooldown_time: 1}}
"""


def test_a_failing_deployment_is_left_alone_and_probed(launch: Launch, provider: Provider, tmp_path: Path) -> None:
    """Two deployments of one name, one of which fails: callers do not notice, and it is soon not asked any more;
    after its cool-down one request at a time tries it, until it answers again."""
    sick = Provider(tmp_path)
    try:
        proxy = launch(SHARED.format(one=sick.base_url, two=provider.base_url))

        def served(count: int, name: str) -> int:
            """How many of these requests the sick one saw; all are answered."""
            before = len(sick.requests())
            for number in range(count):
                assert 200 == ask(proxy, f"{name}-{number}", model="m").status_code
            return len(sick.requests()) - before

        sick.script("*", {"status": 503, "repeat": True})
        assert 2 == served(30, "failing"), "allowed_fails and one more"
        assert 0 == served(5, "cooled")
        time.sleep(1)
        assert 1 == served(20, "probed"), "the probe fails, and it is left alone again"
        sick.reset()
        time.sleep(1)
        assert 0 < served(40, "back")
        assert 5 < served(40, "shared") < 35
    finally:
        sick.stop()
