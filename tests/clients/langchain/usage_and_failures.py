"""What LangChain reads beside the answer: token counts, and failures."""

import openai
import pytest
from langchain_core.exceptions import ContextOverflowError, ModelNotFoundError
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.clients.langchain.support import Ask, Simulator, block, chat_model

COUNTED = {"text": "Olá, tudo bem?", "interval_s": 0, "tokens": {"input": 12, "output": 7}}
CALL = block("find_customer", '{"email": "ana@example.com"}')
CUTS = {
    "closed": {"cut": {"how": "close", "after": 2}},
    "reset": {"cut": {"how": "reset", "after": 2}},
    "ended early": {"cut": {"how": "clean", "after": 2}},
    "half an event": {"cut": {"how": "half_event", "after": 2}},
    "error event": {"error": {"form": "type", "after": 2}},
}
CUT_CALL = {
    "deltas": ["Let me see.\n\n", *CALL.partition("ana@")],
    "interval_s": 0.02,
    "cut": {"how": "close", "after": 3},
    "repeat": True,
}


@tool
def find_customer(email: str) -> str:
    """The number of a customer."""
    return f"{email} is customer 17"


def counts(answer: object) -> tuple[int, int, int]:
    """Tokens in, out, and both."""
    usage = answer.usage_metadata
    return (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])


async def test_usage(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """StackSpot's counts arrive in every way of asking."""
    simulator.script(COUNTED)
    answer = await ask(model, "Oi")
    assert answer.content == "Olá, tudo bem?"
    assert counts(answer) == (12, 7, 19)


async def test_usage_of_a_call(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """They arrive beside tool calls too."""
    simulator.script(COUNTED | {"text": CALL})
    assert counts(await ask(model.bind_tools([find_customer]), "Oi")) == (12, 7, 19)


async def test_usage_of_hidden_rounds(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """What a repair cost is counted."""
    simulator.script(COUNTED, COUNTED | {"text": CALL, "tokens": {"input": 30, "output": 5}})
    answer = await ask(model.bind_tools([find_customer], tool_choice="any"), "Oi")
    assert counts(answer) == (42, 12, 54)


async def test_usage_comes_in_one_chunk(model: ChatOpenAI, simulator: Simulator) -> None:
    """Only one chunk of a stream has counts, so that their sum is right."""
    simulator.script(COUNTED | {"interval_s": 0.02})
    chunks = list(model.stream("Oi"))
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    assert [counts(chunk) for chunk in chunks if chunk.usage_metadata] == [(12, 7, 19)]


async def test_no_usage_unless_asked_for(ask_streaming: Ask, simulator: Simulator) -> None:
    """With stream_usage=False a stream has no counts."""
    simulator.script(COUNTED)
    answer = await ask_streaming(chat_model(simulator, stream_usage=False), "Oi")
    assert answer.content == "Olá, tudo bem?"
    assert answer.usage_metadata is None


@pytest.mark.parametrize("failure", CUTS.values(), ids=CUTS)
def test_cut_in_mid_stream(model: ChatOpenAI, simulator: Simulator, failure: dict) -> None:
    """A stream that breaks off raises behind the text that came before."""
    simulator.script({"deltas": ["One ", "two ", "three"], "interval_s": 0.02} | failure)
    said = []
    with pytest.raises(openai.APIError):
        said.extend(chunk.content for chunk in model.stream("Count"))
    assert "".join(said) == "One two "


@pytest.mark.parametrize("failure", CUTS.values(), ids=CUTS)
async def test_cut_in_mid_stream_async(model: ChatOpenAI, simulator: Simulator, failure: dict) -> None:
    """The same for asyncio."""
    simulator.script({"deltas": ["One ", "two ", "three"], "interval_s": 0.02} | failure)
    said = ""

    async def listen() -> None:
        nonlocal said
        async for chunk in model.astream("Count"):
            said += chunk.content

    with pytest.raises(openai.APIError):
        await listen()
    assert said == "One two "


async def test_cut_inside_a_call(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """An answer that breaks off inside a call raises, whether it is streamed or not."""
    simulator.script(CUT_CALL)
    with pytest.raises(openai.APIError):
        await ask(model.bind_tools([find_customer]), "Who is Ana?")


def test_no_part_of_a_call_before_a_cut(model: ChatOpenAI, simulator: Simulator) -> None:
    """What came before the cut was text alone: an agent has nothing to act on."""
    simulator.script(CUT_CALL)
    chunks = []
    with pytest.raises(openai.APIError):
        chunks.extend(model.bind_tools([find_customer]).stream("Who is Ana?"))
    assert "".join(chunk.content for chunk in chunks) == "Let me see."
    assert [chunk.tool_call_chunks for chunk in chunks if chunk.tool_call_chunks] == []


async def test_image_in_the_question(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """An image, which StackSpot cannot be shown, does no harm: the model is told that there was one."""
    simulator.script(COUNTED)
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    answer = await ask(model, [HumanMessage([{"type": "text", "text": "What is this?"}, image])])
    assert answer.content == "Olá, tudo bem?"
    [prompt] = simulator.prompts
    assert "What is this?\n[image_url: not shown" in prompt
    assert "iVBORw0KGgo=" not in prompt


async def test_refused_without_a_correlation_id(ask: Ask, simulator: Simulator) -> None:
    """A model without the header raises with the proxy's own words."""
    with pytest.raises(openai.BadRequestError) as raised:
        await ask(chat_model(simulator, default_headers={}), "Oi")
    assert raised.value.code == "correlation_id_missing"


async def test_conversation_too_long(ask: Ask, model: ChatOpenAI, simulator: Simulator) -> None:
    """A prompt that StackSpot finds too long raises what LangChain's agents know to shorten their history on."""
    simulator.script({"refuse": "context_length", "repeat": True})
    with pytest.raises(ContextOverflowError):
        await ask(model, "Oi")


async def test_unknown_model(ask: Ask, simulator: Simulator) -> None:
    """A model that is not configured raises LangChain's error for it, naming those that are."""
    with pytest.raises(ModelNotFoundError, match="stackspot-chat"):
        await ask(chat_model(simulator, model="nope"), "Oi")
