"""The built-in answer."""

import orjson
import pytest

from proxy.simulator.persona import reply
from proxy.simulator.wire import pieces

SYSTEM = """[system k3f9ab12]
You are helpful.

[tools k3f9ab12]
FUNCTION_CALL_START
function_name
arguments: {"param": "value"}
FUNCTION_CALL_END
"""
TOOLS = SYSTEM + "".join(
    orjson.dumps({"name": name, "description": description, "parameters": parameters}).decode() + "\n"
    for name, description, parameters in (
        ("read_file", "Reads a file", {"properties": {"path": {"type": "string"}}, "required": ["path"]}),
        (
            "getWeather",
            "How is the sky",
            {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        ),
    )
)
USER = "\n[user k3f9ab12]\nWhat is the weather in São Paulo for 3 days?\n"
RESULT = "\n[result k3f9ab12 call_1 getWeather]\n25C, ☀\n"


def called(text: str) -> tuple[str, object]:
    start, name, arguments, end = text.split("\n")
    assert (start, end) == ("FUNCTION_CALL_START", "FUNCTION_CALL_END")
    return name, orjson.loads(arguments.removeprefix("arguments: "))


def test_calls_the_tool_that_fits() -> None:
    assert called(reply(TOOLS + USER)) == ("getWeather", {"city": "São Paulo", "days": 3})


def test_calls_the_first_tool_where_none_fits() -> None:
    assert called(reply(TOOLS + "[user k3f9ab12]\nOlá")) == ("read_file", {"path": "Olá"})


def test_fits_without_case_and_accents() -> None:
    tools = '[tools k3f9ab12]\n{"name":"one"}\n{"name":"previsao_tempo"}\n'
    assert called(reply(tools + "[user k3f9ab12]\nQual é a PREVISÃO?")) == ("previsao_tempo", {})


@pytest.mark.parametrize(
    ("reminder", "name"),
    [
        pytest.param("You must call read_file now.", "read_file", id="one"),
        pytest.param("You must call read_file or getWeather now.", "getWeather", id="one of two"),
        pytest.param("You must call one of the functions. Never read_file.", "getWeather", id="any"),
        pytest.param("After read_file there may be more.", "getWeather", id="none"),
    ],
)
def test_calls_the_tool_that_must_be_called(reminder: str, name: str) -> None:
    assert called(reply(TOOLS + USER + "\n[reminder k3f9ab12]\n" + reminder))[0] == name


def test_uses_the_markers_that_are_shown() -> None:
    text = reply(TOOLS.replace("START", "START_k3f9ab12") + USER)
    assert text.startswith("FUNCTION_CALL_START_k3f9ab12\ngetWeather\n")
    assert text.endswith("\nFUNCTION_CALL_END_k3f9ab12")


def test_speaks_after_a_result() -> None:
    text = reply(TOOLS + USER + RESULT)
    assert "25C, ☀" in text
    assert "FUNCTION_CALL" not in text


def test_calls_again_for_a_new_question() -> None:
    assert called(reply(TOOLS + USER + RESULT + "\n" + USER))[0] == "getWeather"


@pytest.mark.parametrize("prompt", ["Olá, você!", "[system abcd]\nBe kind.\n\n[user abcd]\nOlá, você!\n"])
def test_quotes_the_user_in_a_few_dozen_deltas(prompt: str) -> None:
    text = reply(prompt)
    assert "“Olá, você!”" in text
    assert 24 <= len(pieces(text)) <= 80


def test_quotes_a_long_message_in_part() -> None:
    assert len(reply("x" * 100_000)) < 1000


def test_writes_the_json_that_is_asked_for() -> None:
    schema = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'
    prompt = f"[format abcd]\nOnly JSON: {schema}\n[user abcd]\nTell me of Lisboa."
    assert orjson.loads(reply(prompt)) == {"city": "Lisboa"}


def test_writes_an_object_where_any_json_will_do() -> None:
    prompt = "[format abcd]\nOne JSON object.\n[user abcd]\nolá"
    assert orjson.loads(reply(prompt)) == {"answer": "olá"}


def test_tools_come_before_the_format_and_the_format_before_prose() -> None:
    prompt = TOOLS + "[format k3f9ab12]\nOne JSON object.\n" + USER
    assert called(reply(prompt))[0] == "getWeather"
    assert isinstance(orjson.loads(reply(prompt + RESULT)), dict)
