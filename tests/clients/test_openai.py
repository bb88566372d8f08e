"""openai-python, sync and async, against a running proxy."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.conftest import Launch
from tests.support.processes import Proxy, StandIn

MODEL = "stackspot-chat"
NAMES = [
    "stackspot-ai-chat",
    "stackspot",
    "stackspot-chat",
    "stackspot-ai-code",
    "stackspot-code",
    "stackspot-ai-assistant",
    "stackspot-assistant",
]
GREETING = [{"role": "user", "content": "Bom dia!"}]
QUESTION = {"role": "user", "content": "Qual o tempo em São Paulo?"}
ARGUMENTS = '{"cidade":"São Paulo"}'
RESULT = "Tempo em São Paulo: 25°C, ensolarado"
FINAL_TEXT = f"Here is what I found: {RESULT}"  # what the simulator says once it has a result
WEATHER = {
    "type": "function",
    "function": {
        "name": "buscar_tempo",
        "description": "O tempo numa cidade",
        "parameters": {"type": "object", "properties": {"cidade": {"type": "string"}}, "required": ["cidade"]},
    },
}
ANSWER = {"text": "Olá, tudo bem? 👋", "interval_s": 0, "tokens": {"input": 12, "output": 7}}
SLOW = {"deltas": [f"{number} " for number in range(10)], "interval_s": 0.05}
ONE_MODEL = """
model_list:
  - {model_name: stackspot-chat, litellm_params: {model: stackspot/agent}}
router_settings: {num_retries: 0}
"""


@pytest.fixture
def client(proxy: Proxy, correlation_id: str) -> Iterator[OpenAI]:
    """A client that sends this test's correlation id with every request."""
    headers = {"correlation-id": correlation_id}
    with OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", max_retries=0, default_headers=headers) as client:
        yield client


@pytest.fixture
async def async_client(proxy: Proxy, correlation_id: str) -> AsyncIterator[AsyncOpenAI]:
    """The same, for asyncio."""
    headers = {"correlation-id": correlation_id}
    async with AsyncOpenAI(
        base_url=f"{proxy.url}/v1", api_key="unused", max_retries=0, default_headers=headers
    ) as client:
        yield client


@pytest.fixture
def anonymous(proxy: Proxy) -> Iterator[OpenAI]:
    """A client without a correlation id."""
    with OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """What the content deltas add up to."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def finishes_of(chunks: list[ChatCompletionChunk]) -> list[str]:
    """Every finish reason sent."""
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


def after_call(call_id: str, name: str, arguments: str) -> list[dict[str, Any]]:
    """The conversation that goes on behind a call of the weather tool, as callers write it."""
    function = {"name": name, "arguments": arguments}
    return [
        QUESTION,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": RESULT},
    ]


def assert_whole(completion: ChatCompletion) -> None:
    """The completion is what ANSWER says."""
    [choice] = completion.choices
    assert completion.object == "chat.completion"
    assert completion.model == MODEL
    assert choice.message.role == "assistant"
    assert choice.message.content == ANSWER["text"]
    assert choice.message.tool_calls is None
    assert choice.finish_reason == "stop"
    assert completion.usage is not None
    assert (
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
        completion.usage.total_tokens,
    ) == (12, 7, 19)


def assert_streamed(chunks: list[ChatCompletionChunk]) -> None:
    """The chunks are what ANSWER says, and no usage that nobody asked for."""
    assert text_of(chunks) == ANSWER["text"]
    assert finishes_of(chunks) == ["stop"]
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices[0].delta.role] == ["assistant"]
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, MODEL, "chat.completion.chunk")
    }
    assert [len(chunk.choices) for chunk in chunks] == [1] * len(chunks)
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)


def test_sync_completion(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """An answer arrives as one completion, with the counts that StackSpot gave."""
    stand_in.script(correlation_id, ANSWER)
    assert_whole(client.chat.completions.create(model=MODEL, messages=GREETING))


def test_sync_stream(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The same answer arrives as chunks."""
    stand_in.script(correlation_id, ANSWER)
    with client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
        assert_streamed(list(stream))


async def test_async_completion(async_client: AsyncOpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The asyncio client gets the same completion."""
    stand_in.script(correlation_id, ANSWER)
    assert_whole(await async_client.chat.completions.create(model=MODEL, messages=GREETING))


async def test_async_stream(async_client: AsyncOpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The asyncio client gets the same chunks."""
    stand_in.script(correlation_id, ANSWER)
    async with await async_client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
        assert_streamed([chunk async for chunk in stream])


def test_base_url_without_v1(proxy: Proxy, stand_in: StandIn, correlation_id: str) -> None:
    """A client whose base URL has no /v1 is served too."""
    stand_in.script(correlation_id, ANSWER)
    with OpenAI(base_url=proxy.url, api_key="unused", default_headers={"correlation-id": correlation_id}) as client:
        assert_whole(client.chat.completions.create(model=MODEL, messages=GREETING))


def test_tool_round_trip(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """A tool is called, its result goes back, and the answer has it."""
    first = client.chat.completions.create(model=MODEL, messages=[QUESTION], tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    [call] = first.message.tool_calls or []
    assert (call.type, call.function.name, call.function.arguments) == ("function", "buscar_tempo", ARGUMENTS)
    assert call.id.startswith("call_")

    messages = [QUESTION, first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0]
    assert second.finish_reason == "stop"
    assert second.message.content == FINAL_TEXT
    assert second.message.tool_calls is None
    assert RESULT in stand_in.requests(correlation_id)[1]["body"]["user_prompt"]


async def test_streamed_tool_round_trip(async_client: AsyncOpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The same over chunks: id and name once, then the arguments, then the finish."""
    create = async_client.chat.completions.create
    async with await create(model=MODEL, messages=[QUESTION], tools=[WEATHER], stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == ""
    assert finishes_of(chunks) == ["tool_calls"]
    opened, *pieces = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert opened.id is not None
    assert (
        opened.index,
        opened.type,
        opened.function.name,
        opened.function.arguments,
    ) == (0, "function", "buscar_tempo", "")
    assert {(piece.index, piece.id, piece.type, piece.function.name) for piece in pieces} == {(0, None, None, None)}
    assert "".join(piece.function.arguments for piece in pieces) == ARGUMENTS

    messages = after_call(opened.id, opened.function.name, ARGUMENTS)
    async with await create(model=MODEL, messages=messages, tools=[WEATHER], stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == FINAL_TEXT
    assert finishes_of(chunks) == ["stop"]
    assert RESULT in stand_in.requests(correlation_id)[1]["body"]["user_prompt"]


def test_stream_helper_with_tools(client: OpenAI) -> None:
    """The SDK's own helper tells of the call while it comes, and accumulates it."""
    with client.chat.completions.stream(model=MODEL, messages=[QUESTION], tools=[WEATHER]) as stream:
        events = list(stream)
        [choice] = stream.get_final_completion().choices
    [done] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert (done.name, done.index, done.arguments) == ("buscar_tempo", 0, ARGUMENTS)
    deltas = [event.arguments_delta for event in events if event.type == "tool_calls.function.arguments.delta"]
    assert "".join(deltas) == ARGUMENTS
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("buscar_tempo", ARGUMENTS)

    messages = after_call(call.id, call.function.name, call.function.arguments)
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=[WEATHER]) as stream:
        [said] = [event.content for event in stream if event.type == "content.done"]
        [choice] = stream.get_final_completion().choices
    assert said == choice.message.content == FINAL_TEXT
    assert choice.finish_reason == "stop"


async def test_async_stream_helper(async_client: AsyncOpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """The helper's deltas add up to the text it tells at the end, and it has the usage."""
    stand_in.script(correlation_id, ANSWER)
    options = {"include_usage": True}
    async with async_client.chat.completions.stream(model=MODEL, messages=GREETING, stream_options=options) as stream:
        events = [event async for event in stream]
        completion = await stream.get_final_completion()
    assert "".join(event.delta for event in events if event.type == "content.delta") == ANSWER["text"]
    assert [event.content for event in events if event.type == "content.done"] == [ANSWER["text"]]
    assert_whole(completion)


def test_stream_helper_parallel_calls(client: OpenAI, stand_in: StandIn, correlation_id: str) -> None:
    """Several calls in one answer stay apart, each with an index and an id of its own."""
    cities = ["São Paulo", "Brasília"]
    blocks = [
        f'FUNCTION_CALL_START\nbuscar_tempo\narguments: {{"cidade": "{city}"}}\nFUNCTION_CALL_END' for city in cities
    ]
    stand_in.script(correlation_id, {"text": "\n".join(blocks), "interval_s": 0})
    with client.chat.completions.stream(model=MODEL, messages=[QUESTION], tools=[WEATHER]) as stream:
        [choice] = stream.get_final_completion().choices
    calls = choice.message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{"cidade": city} for city in cities]
    assert [call.function.name for call in calls] == ["buscar_tempo", "buscar_tempo"]
    assert len({call.id for call in calls}) == 2


def test_response_headers(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """The headers name the conversation, the request, who answered, and what was ignored."""
    stand_in.script(correlation_id, ANSWER)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=GREETING, temperature=0.2)
    assert_whole(raw.parse())
    assert raw.headers["correlation-id"] == correlation_id
    assert raw.headers["x-proxy-upstream-model"] == "stackspot/agent"
    assert raw.headers["x-proxy-ignored-params"] == "temperature"
    assert raw.headers["x-request-id"]
    assert raw.headers["x-request-id"] == raw.request_id == raw.parse()._request_id


def test_streaming_response_headers(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """A stream has the same headers, and those that keep it from being cached or held back."""
    stand_in.script(correlation_id, ANSWER)
    create = client.chat.completions.with_streaming_response.create
    with create(model=MODEL, messages=GREETING, stream=True, temperature=0.2) as raw:
        assert raw.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert raw.headers["cache-control"] == "no-cache"
        assert raw.headers["x-accel-buffering"] == "no"
        assert raw.headers["correlation-id"] == correlation_id
        assert raw.headers["x-proxy-upstream-model"] == "stackspot/agent"
        assert raw.headers["x-proxy-ignored-params"] == "temperature"
        assert raw.headers["x-request-id"]
        assert_streamed(list(raw.parse()))


def test_usage_in_stream(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """Usage that is asked for comes in one last chunk that has no choices."""
    stand_in.script(correlation_id, ANSWER)
    options = {"include_usage": True}
    with client.chat.completions.create(model=MODEL, messages=GREETING, stream=True, stream_options=options) as stream:
        *chunks, last = list(stream)
    assert_streamed(chunks)
    assert last.choices == []
    assert last.id == chunks[0].id
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (12, 7, 19)


def assert_spread(pieces: list[tuple[float, str]]) -> None:
    """The pieces of SLOW came over the 0.45 s that they took to be made, not in a heap."""
    assert "".join(text for _, text in pieces) == "".join(SLOW["deltas"])
    times = [arrived for arrived, _ in pieces]
    assert times[-1] - times[0] > 0.3
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.2


def test_tokens_arrive_as_they_are_made(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """The first token is there long before the last one."""
    stand_in.script(correlation_id, SLOW)
    with client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
        assert_spread([(time.monotonic(), text) for chunk in stream if (text := chunk.choices[0].delta.content)])


async def test_tokens_arrive_as_they_are_made_async(
    async_client: AsyncOpenAI, correlation_id: str, stand_in: StandIn
) -> None:
    """So they do with asyncio."""
    stand_in.script(correlation_id, SLOW)
    async with await async_client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
        assert_spread([(time.monotonic(), text) async for chunk in stream if (text := chunk.choices[0].delta.content)])


def test_leaving_a_stream(client: OpenAI, correlation_id: str, stand_in: StandIn, proxy: Proxy) -> None:
    """A caller that closes its stream half-way ends the request."""
    stand_in.script(correlation_id, {"deltas": ["more "] * 1000, "interval_s": 0.02})
    with client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream:
        assert next(text for chunk in stream if (text := chunk.choices[0].delta.content)) == "more "
    finished = proxy.wait_event(event="request.finished", correlation_id=correlation_id)
    assert finished["end_reason"] == "client_disconnect"


def test_list_models(anonymous: OpenAI) -> None:
    """The names and aliases of the config are listed, without a correlation id."""
    models = anonymous.models.list().data
    assert [model.id for model in models] == NAMES
    assert {(model.object, model.owned_by) for model in models} == {("model", "stackspot")}


@pytest.mark.parametrize("name", ["stackspot-ai-chat", "stackspot"])
def test_retrieve_model(anonymous: OpenAI, name: str) -> None:
    """A model is found by its name and by its alias."""
    model = anonymous.models.retrieve(name)
    assert (name, "model", "stackspot") == (model.id, model.object, model.owned_by)


def test_retrieve_unknown_model(anonymous: OpenAI) -> None:
    """A name that is not configured is not found."""
    with pytest.raises(openai.NotFoundError) as raised:
        anonymous.models.retrieve("gpt-5")
    assert raised.value.code == "model_not_found"


def test_correlation_id_by_default_headers(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """The client's own header goes on to StackSpot."""
    stand_in.script(correlation_id, ANSWER)
    client.chat.completions.create(model=MODEL, messages=GREETING)
    [request] = stand_in.requests(correlation_id)
    assert request["headers"]["correlation-id"] == correlation_id


def test_correlation_id_by_extra_headers(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """A request's header wins over the client's, and comes back."""
    other = f"{correlation_id}:other"
    stand_in.script(other, ANSWER)
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=GREETING, extra_headers={"correlation-id": other}
    )
    assert raw.headers["correlation-id"] == other
    assert len(stand_in.requests(other)) == 1
    assert stand_in.requests(correlation_id) == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_missing_correlation_id(anonymous: OpenAI, stream: bool) -> None:
    """Without a correlation id the request is wrong, and the message says which header to send."""
    with pytest.raises(openai.BadRequestError) as raised:
        anonymous.chat.completions.create(model=MODEL, messages=GREETING, stream=stream)
    assert raised.value.code == "correlation_id_missing"
    assert raised.value.type == "invalid_request_error"
    assert "'correlation-id'" in raised.value.message
    assert raised.value.request_id


def test_malformed_correlation_id(anonymous: OpenAI) -> None:
    """So it is with one that has other characters than those allowed."""
    with pytest.raises(openai.BadRequestError) as raised:
        anonymous.chat.completions.create(
            model=MODEL, messages=GREETING, extra_headers={"correlation-id": "minha conversa"}
        )
    assert raised.value.code == "correlation_id_invalid"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_unknown_model(client: OpenAI, stream: bool) -> None:
    """A model that is not configured is not found, and the message lists those that are."""
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="gpt-5", messages=GREETING, stream=stream)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert ", ".join(NAMES) in raised.value.message


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": 7}, "temperature"),
        ({"messages": [*GREETING, {"role": "robot", "content": "x"}]}, "messages[1].role"),
        ({"messages": [*GREETING, {"role": "user", "content": 7}]}, "messages[1].content"),
        ({"messages": []}, "messages"),
        ({"n": 2}, "n"),
    ],
    ids=["temperature", "role", "content", "messages", "n"],
)
def test_wrong_field(client: OpenAI, wrong: dict[str, Any], param: str) -> None:
    """A field that is wrong is named, with its place in the list."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**{"model": MODEL, "messages": GREETING} | wrong)
    assert (param, "invalid_request_error") == (raised.value.param, raised.value.type)
    assert param in raised.value.message


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_upstream_failure(client: OpenAI, correlation_id: str, stand_in: StandIn, stream: bool) -> None:
    """A 500 of StackSpot is a real 502, also where a stream was asked for."""
    stand_in.script(correlation_id, {"refuse": "server_error", "repeat": True})
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=MODEL, messages=GREETING, stream=stream)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_failed")
    assert "StackSpot answered 500" in raised.value.message
    assert raised.value.response.headers["correlation-id"] == correlation_id


def test_hopeless_failure_is_not_retried(proxy: Proxy, correlation_id: str, stand_in: StandIn) -> None:
    """What another try cannot mend is asked for once, and once more with a new login, though the SDK would retry."""
    stand_in.script(correlation_id, {"refuse": "forbidden", "repeat": True})
    headers = {"correlation-id": correlation_id}
    with (
        OpenAI(base_url=f"{proxy.url}/v1", api_key="unused", max_retries=2, default_headers=headers) as client,
        pytest.raises(openai.InternalServerError) as raised,
    ):
        client.chat.completions.create(model=MODEL, messages=GREETING)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_forbidden")
    assert len(stand_in.requests(correlation_id)) in (1, 2)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_rate_limit(launch: Launch, correlation_id: str, stand_in: StandIn, stream: bool) -> None:
    """StackSpot's rate limit is a 429 that says when to come again."""
    stand_in.script(correlation_id, {"refuse": "rate_limited", "repeat": True})
    alone = launch(ONE_MODEL)  # what its account may do concerns no other test
    headers = {"correlation-id": correlation_id}
    with (
        OpenAI(base_url=f"{alone.url}/v1", api_key="unused", max_retries=0, default_headers=headers) as client,
        pytest.raises(openai.RateLimitError) as raised,
    ):
        client.chat.completions.create(model=MODEL, messages=GREETING, stream=stream)
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"cut": {"how": "clean", "after": 3}}, "upstream_truncated"),
        ({"cut": {"how": "close", "after": 3}}, "upstream_truncated"),
        ({"cut": {"how": "reset", "after": 3}}, "upstream_truncated"),
        ({"error": {"form": "type", "after": 3}}, "upstream_stream_error"),
        ({"error": {"form": "event", "after": 3}}, "upstream_stream_error"),
    ],
    ids=["ends", "closes", "resets", "error", "error_event"],
)
def test_failure_in_mid_stream(
    client: OpenAI, correlation_id: str, stand_in: StandIn, fault: dict[str, Any], code: str
) -> None:
    """A stream that breaks raises behind the text that came before, and never looks complete."""
    stand_in.script(correlation_id, {"deltas": ["One ", "two ", "three "], "interval_s": 0.02} | fault)
    chunks: list[ChatCompletionChunk] = []
    with (
        client.chat.completions.create(model=MODEL, messages=GREETING, stream=True) as stream,
        pytest.raises(openai.APIError) as raised,
    ):
        chunks.extend(stream)
    assert text_of(chunks) == "One two three "
    assert finishes_of(chunks) == []
    assert (code, "server_error", None) == (raised.value.code, raised.value.type, raised.value.param)


async def test_failure_in_mid_stream_async(async_client: AsyncOpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """So it is with asyncio, and with the SDK's helper."""
    stand_in.script(
        correlation_id, {"deltas": ["One ", "two "], "interval_s": 0.02, "cut": {"how": "close", "after": 2}}
    )
    said = ""

    async def listen() -> None:
        nonlocal said
        async with async_client.chat.completions.stream(model=MODEL, messages=GREETING) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    said += event.delta

    with pytest.raises(openai.APIError) as raised:
        await listen()
    assert said == "One two "
    assert raised.value.code == "upstream_truncated"


def test_cut_answer_that_is_not_streamed(client: OpenAI, correlation_id: str, stand_in: StandIn) -> None:
    """Half an answer is an error where no stream was asked for, not a completion."""
    stand_in.script(correlation_id, {"deltas": ["One ", "two "], "cut": {"how": "close", "after": 2}, "repeat": True})
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model=MODEL, messages=GREETING)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_truncated")
