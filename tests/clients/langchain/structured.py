"""``with_structured_output`` in all its methods, with a Pydantic model, the answers scripted."""

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from tests.clients.langchain.support import Ask, Simulator, block, chat_model

QUESTION = "Como está o tempo em São Paulo? Responda em JSON."
JSON = '{"cidade": "São Paulo", "graus": 25, "dias": [{"dia": "sábado", "chuva": false}]}'
CALL = block("Forecast", JSON)
PROSE = "Em São Paulo faz 25 graus."
INCOMPLETE = '{"cidade": "São Paulo", "dias": []}'


class Day(BaseModel):
    """One day."""

    dia: str
    chuva: bool


class Forecast(BaseModel):
    """O tempo numa cidade."""

    cidade: str
    graus: int = Field(description="em graus Celsius")
    dias: list[Day]


EXPECTED = Forecast(cidade="São Paulo", graus=25, dias=[Day(dia="sábado", chuva=False)])
RIGHT = {"function_calling": CALL, "json_schema": JSON, "json_mode": JSON}
REPAIRED = {
    "function_calling: words in place of the call": ("function_calling", PROSE, CALL),
    "function_calling: a call cut short": ("function_calling", CALL[:60], CALL),
    "json_schema: words in place of JSON": ("json_schema", PROSE, JSON),
    "json_schema: a field is missing": ("json_schema", INCOMPLETE, JSON),
    "json_schema: a field of another type": ("json_schema", JSON.replace("25", '"morno"'), JSON),
    "json_mode: words in place of JSON": ("json_mode", PROSE, JSON),
    "json_mode: JSON cut short": ("json_mode", JSON[:40], JSON),
}
REFUSED = {
    "function_calling": (PROSE, "tool_choice_not_met"),
    "json_schema": (INCOMPLETE, "response_format_not_met"),
    "json_mode": (PROSE, "response_format_not_met"),
}


@pytest.mark.parametrize("method", RIGHT)
async def test_object(get: Ask, model: ChatOpenAI, simulator: Simulator, method: str) -> None:
    """The model's JSON arrives as an object of the class asked for."""
    simulator.says(RIGHT[method])
    assert await get(model.with_structured_output(Forecast, method=method), QUESTION) == EXPECTED
    assert len(simulator.prompts) == 1


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_fence(get: Ask, model: ChatOpenAI, simulator: Simulator, method: str) -> None:
    """A code fence round the JSON is taken off, without asking again."""
    simulator.says(f"```json\n{JSON}\n```")
    assert await get(model.with_structured_output(Forecast, method=method), QUESTION) == EXPECTED
    assert len(simulator.prompts) == 1


@pytest.mark.parametrize(("method", "wrong", "right"), REPAIRED.values(), ids=REPAIRED)
async def test_wrong_answer_repaired(
    get: Ask, model: ChatOpenAI, simulator: Simulator, method: str, wrong: str, right: str
) -> None:
    """A first answer that is wrong is written again out of sight."""
    simulator.says(wrong, right)
    assert await get(model.with_structured_output(Forecast, method=method), QUESTION) == EXPECTED
    first, second = simulator.prompts
    assert wrong not in first
    assert wrong in second


@pytest.mark.parametrize("method", REFUSED)
async def test_wrong_answer_beyond_repair(get: Ask, simulator: Simulator, method: str) -> None:
    """An answer that stays wrong is an error, never prose dressed as success; the client does not ask again."""
    wrong, code = REFUSED[method]
    simulator.script({"text": wrong, "interval_s": 0, "repeat": True})
    model = chat_model(simulator, max_retries=2)
    with pytest.raises(openai.InternalServerError) as raised:
        await get(model.with_structured_output(Forecast, method=method), QUESTION)
    assert (raised.value.status_code, raised.value.code) == (502, code)
    assert len(simulator.prompts) == 2


@pytest.mark.parametrize("method", RIGHT)
async def test_raw_message_beside_the_object(model: ChatOpenAI, simulator: Simulator, method: str) -> None:
    """With include_raw the message comes too, that of the answer that was right."""
    simulator.says(PROSE, RIGHT[method])
    result = await model.with_structured_output(Forecast, method=method, include_raw=True).ainvoke(QUESTION)
    assert (result["parsed"], result["parsing_error"]) == (EXPECTED, None)
    assert PROSE not in str(result["raw"])


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_usage_of_both_rounds(model: ChatOpenAI, simulator: Simulator, method: str) -> None:
    """The raw message counts the answer that was wrong, too."""
    simulator.script(
        {"text": PROSE, "interval_s": 0, "tokens": {"input": 10, "output": 4}},
        {"text": JSON, "interval_s": 0, "tokens": {"input": 20, "output": 9}},
    )
    result = await model.with_structured_output(Forecast, method=method, include_raw=True).ainvoke(QUESTION)
    usage = result["raw"].usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"]) == (30, 13)


async def test_tools_and_an_object_at_the_end(model: ChatOpenAI, simulator: Simulator) -> None:
    """Tools and a response format side by side: a call first, and the object once its result is there."""

    @tool
    def buscar_tempo(cidade: str) -> str:
        """O tempo numa cidade."""
        return f"{cidade}: 25°C"

    simulator.says(block("buscar_tempo", '{"cidade": "São Paulo"}'), PROSE, JSON)
    bound = model.bind_tools([buscar_tempo], response_format=Forecast, strict=True)
    question = HumanMessage(QUESTION)
    asked = await bound.ainvoke([question])
    [call] = asked.tool_calls
    answer = await bound.ainvoke([question, asked, buscar_tempo.invoke(call)])
    assert answer.additional_kwargs["parsed"] == EXPECTED
    assert len(simulator.prompts) == 3
