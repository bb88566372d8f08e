"""The agent of the seed, with the class names of current PydanticAI, against a running proxy."""

from collections.abc import AsyncIterator

import httpx
import httpx2
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, PydanticAIDeprecationWarning
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.support.processes import Proxy, StandIn

INSTRUCTIONS = "Use as ferramentas disponíveis para responder."
QUESTION = "Qual o tempo em São Paulo?"
RESULT = "Tempo em São Paulo: 25°C, ensolarado"
FINAL_TEXT = f"Here is what I found: {RESULT}"  # what the simulator says once it has a result


class Weather:
    """The seed's tool, and the cities it was asked for."""

    def __init__(self) -> None:
        self.cities: list[str] = []

    def buscar_tempo(self, cidade: str) -> str:
        """O tempo numa cidade."""
        self.cities.append(cidade)
        return f"Tempo em {cidade}: 25°C, ensolarado"


@pytest.fixture
def weather() -> Weather:
    """A tool that nobody has called yet."""
    return Weather()


@pytest.fixture
async def model(proxy: Proxy, correlation_id: str) -> AsyncIterator[OpenAIChatModel]:
    """The seed's model: its HTTP client sends the correlation id."""
    async with httpx2.AsyncClient(headers={"correlation-id": correlation_id}) as http_client:
        yield chat_model(proxy, http_client)


@pytest.fixture
def agent(model: OpenAIChatModel, weather: Weather) -> Agent[None, str]:
    """The seed's agent."""
    return Agent(model, tools=[weather.buscar_tempo], system_prompt=INSTRUCTIONS)


def chat_model(proxy: Proxy, http_client: httpx2.AsyncClient | httpx.AsyncClient) -> OpenAIChatModel:
    """The seed's model over an HTTP client."""
    provider = OpenAIProvider(base_url=f"{proxy.url}/v1", api_key="fake-key", http_client=http_client)
    return OpenAIChatModel("stackspot-chat", provider=provider)


def block(city: str) -> str:
    """A call of the tool, as an agent of StackSpot writes it."""
    return f'FUNCTION_CALL_START\nbuscar_tempo\narguments: {{"cidade": "{city}"}}\nFUNCTION_CALL_END'


async def test_run(agent: Agent[None, str], weather: Weather, stand_in: StandIn, correlation_id: str) -> None:
    """The tool is called with what the user wrote, and the answer has its result."""
    result = await agent.run(QUESTION)
    assert result.output == FINAL_TEXT
    assert weather.cities == ["São Paulo"]

    called, returned = [
        part
        for message in result.all_messages()
        for part in message.parts
        if isinstance(part, ToolCallPart | ToolReturnPart)
    ]
    assert (called.tool_name, called.args_as_dict()) == ("buscar_tempo", {"cidade": "São Paulo"})
    assert (returned.tool_call_id, returned.content) == (called.tool_call_id, RESULT)

    first, second = stand_in.requests(correlation_id)
    assert INSTRUCTIONS in first["body"]["user_prompt"]
    assert QUESTION in first["body"]["user_prompt"]
    assert RESULT not in first["body"]["user_prompt"]
    assert RESULT in second["body"]["user_prompt"]
    assert called.tool_call_id in second["body"]["user_prompt"]


async def test_run_stream(agent: Agent[None, str], weather: Weather, stand_in: StandIn, correlation_id: str) -> None:
    """Streamed, the tool is called just the same, and the answer comes in pieces."""
    async with agent.run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == FINAL_TEXT
    assert len(pieces) > 1
    assert weather.cities == ["São Paulo"]
    assert RESULT in stand_in.requests(correlation_id)[1]["body"]["user_prompt"]


async def test_stream_with_white_space_before_a_call(
    agent: Agent[None, str], weather: Weather, stand_in: StandIn, correlation_id: str
) -> None:
    """Blank lines before a call are not taken for the final answer."""
    stand_in.script(correlation_id, {"deltas": ["\n", "\n", *block("São Paulo")], "interval_s": 0.002})
    async with agent.run_stream(QUESTION) as result:
        assert await result.get_output() == FINAL_TEXT
    assert weather.cities == ["São Paulo"]


@pytest.mark.parametrize("stream", [False, True], ids=["run", "run_stream"])
async def test_parallel_calls(
    agent: Agent[None, str], weather: Weather, stand_in: StandIn, correlation_id: str, stream: bool
) -> None:
    """Two calls in one answer are both made, and both results go back together."""
    stand_in.script(correlation_id, {"text": f"{block('São Paulo')}\n{block('Brasília')}", "interval_s": 0.002})
    if stream:
        async with agent.run_stream("Qual o tempo em São Paulo e em Brasília?") as result:
            output = await result.get_output()
    else:
        output = (await agent.run("Qual o tempo em São Paulo e em Brasília?")).output
    assert output == f"{FINAL_TEXT} and Tempo em Brasília: 25°C, ensolarado"
    assert sorted(weather.cities) == ["Brasília", "São Paulo"]
    assert len(stand_in.requests(correlation_id)) == 2


async def test_usage_and_names(agent: Agent[None, str], stand_in: StandIn, correlation_id: str) -> None:
    """The run knows StackSpot's counts, the model that was asked for and how the answer ended."""
    stand_in.script(correlation_id, {"text": "Olá!", "interval_s": 0, "tokens": {"input": 12, "output": 7}})
    result = await agent.run("Oi")
    assert (result.output, result.usage.input_tokens, result.usage.output_tokens) == ("Olá!", 12, 7)
    response = result.all_messages()[-1]
    assert isinstance(response, ModelResponse)
    assert (response.model_name, response.finish_reason) == ("stackspot-chat", "stop")


async def test_structured_output(model: OpenAIChatModel, stand_in: StandIn, correlation_id: str) -> None:
    """An output type is asked for as a call that the model has to make."""

    class Report(BaseModel):
        cidade: str
        graus: int

    text = 'FUNCTION_CALL_START\nfinal_result\narguments: {"cidade": "São Paulo", "graus": 25}\nFUNCTION_CALL_END'
    stand_in.script(correlation_id, {"text": text, "interval_s": 0})
    result = await Agent(model, output_type=Report).run(QUESTION)
    assert result.output == Report(cidade="São Paulo", graus=25)


async def test_legacy_http_client(proxy: Proxy, weather: Weather, correlation_id: str) -> None:
    """The seed's own httpx.AsyncClient still works, though PydanticAI warns of it."""
    async with httpx.AsyncClient(headers={"correlation-id": correlation_id}) as http_client:
        with pytest.warns(PydanticAIDeprecationWarning, match=r"use `httpx2.AsyncClient` instead"):
            model = chat_model(proxy, http_client)
        result = await Agent(model, tools=[weather.buscar_tempo], system_prompt=INSTRUCTIONS).run(QUESTION)
    assert result.output == FINAL_TEXT
    assert weather.cities == ["São Paulo"]


async def test_missing_correlation_id(proxy: Proxy) -> None:
    """Without a correlation id the run fails with the proxy's own words."""
    async with httpx2.AsyncClient() as http_client:
        with pytest.raises(ModelHTTPError) as raised:
            await Agent(chat_model(proxy, http_client)).run(QUESTION)
    assert raised.value.status_code == 400
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["code"] == "correlation_id_missing"


async def test_failure_in_mid_stream(agent: Agent[None, str], stand_in: StandIn, correlation_id: str) -> None:
    """A stream that breaks off raises behind the text that came before."""
    stand_in.script(
        correlation_id, {"deltas": ["One ", "two "], "interval_s": 0.02, "cut": {"how": "close", "after": 2}}
    )
    said = ""

    async def listen() -> None:
        nonlocal said
        async with agent.run_stream(QUESTION) as result:
            async for piece in result.stream_text(delta=True, debounce_by=None):
                said += piece

    with pytest.raises(ModelAPIError):
        await listen()
    assert said == "One two "


async def test_a_bad_argument_is_tried_again(model: OpenAIChatModel, stand_in: StandIn, correlation_id: str) -> None:
    """A call whose arguments do not fit the tool goes back to the model, which then makes it right."""
    asked: list[int] = []

    def double(number: int) -> int:
        """Twice a number."""
        asked.append(number)
        return 2 * number

    call = "FUNCTION_CALL_START\ndouble\narguments: %s\nFUNCTION_CALL_END"
    answers = [call % '{"number": "many"}', call % '{"number": 21}', "It is 42."]
    stand_in.script(correlation_id, *({"text": text, "interval_s": 0} for text in answers))
    result = await Agent(model, tools=[double]).run("Twice 21?")
    assert (result.output, asked) == ("It is 42.", [21])
    assert len(stand_in.requests(correlation_id)) == 3


async def test_structured_output_streamed(model: OpenAIChatModel, stand_in: StandIn, correlation_id: str) -> None:
    """An output type in a stream, its call in a code fence and behind words that nobody asked for."""

    class Report(BaseModel):
        cidade: str
        graus: int

    call = 'FUNCTION_CALL_START\nfinal_result\narguments: {"cidade": "São Paulo", "graus": 25,}\nFUNCTION_CALL_END'
    stand_in.script(correlation_id, {"text": f"Here:\n```\n{call}\n```", "delta_chars": 5, "interval_s": 0})
    async with Agent(model, output_type=Report).run_stream(QUESTION) as result:
        assert await result.get_output() == Report(cidade="São Paulo", graus=25)
