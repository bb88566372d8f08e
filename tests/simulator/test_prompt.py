"""Reading prompts: sections by their nonce, tools, markers, formats."""

import pytest

from proxy.simulator.prompt import Section, Tool, read_prompt

TOOLS = """[system k3f9ab12]
You are helpful.

[tools k3f9ab12]
Write:
FUNCTION_CALL_START
function_name
arguments: {"param": "value"}
FUNCTION_CALL_END
{"name":"get_weather","description":"The weather","parameters":{"type":"object"}}
{"type":"function","function":{"name":"search"}}
{"not":"a tool"}
{broken

"""
CONVERSATION = """[user k3f9ab12]
First?

[assistant k3f9ab12]
Yes.

[user k3f9ab12]
What is the weather in São Paulo?
[user] is only text, and so is
[result other call_1]
"""
RESULTS = """
[result k3f9ab12 call_1 get_weather]
25C, sunny

[result k3f9ab12 call_2 get_weather]
30C

[reminder k3f9ab12]
Be brief.
"""


def test_sections_go_by_the_nonce() -> None:
    prompt = read_prompt(CONVERSATION)
    assert [section.kind for section in prompt.sections] == ["user", "assistant", "user"]
    assert prompt.user.splitlines() == [
        "What is the weather in São Paulo?",
        "[user] is only text, and so is",
        "[result other call_1]",
    ]


def test_tools() -> None:
    tools = read_prompt(TOOLS + CONVERSATION).tools
    assert (Tool("get_weather", "The weather", {"type": "object"}), Tool("search", "", {})) == tools


def test_results_since_the_last_user() -> None:
    prompt = read_prompt(TOOLS + CONVERSATION + RESULTS)
    assert prompt.results == ("25C, sunny", "30C")
    assert prompt.reminder == "Be brief."


def test_results_before_the_last_user_are_over() -> None:
    assert read_prompt(CONVERSATION + RESULTS + "\n[user k3f9ab12]\nAnd now?").results == ()


@pytest.mark.parametrize(
    ("tools", "suffix"),
    [
        pytest.param(TOOLS, "", id="bare"),
        pytest.param(TOOLS.replace("START", "START_k3f9ab12"), "_k3f9ab12", id="with the nonce"),
        pytest.param(TOOLS.replace("Write", "FUNCTION_CALL_START_k3f9ab12"), "_k3f9ab12", id="nonce wins"),
        pytest.param("[tools abcd1234]\nno format\n", "", id="none shown"),
    ],
)
def test_markers(tools: str, suffix: str) -> None:
    assert read_prompt(tools).marker_suffix == suffix


@pytest.mark.parametrize("text", ["Olá!", "[note]\nOlá!", '{"a": 1}\n[1, 2]'])
def test_a_prompt_without_labels_is_a_user_speaking(text: str) -> None:
    prompt = read_prompt(text)
    assert (Section("user", text),) == prompt.sections
    assert (text, ()) == (prompt.user, prompt.tools)


def test_labels_without_a_nonce() -> None:
    prompt = read_prompt("[system]\nBe kind.\n[user]\nWell?\n[result call_1 search]\nFound")
    assert (prompt.user, prompt.results) == ("Well?", ("Found",))


def test_line_ends_of_two_characters() -> None:
    assert read_prompt("[user abcd]\r\nOlá!\r\n\r\n[reminder abcd]\r\nshort").user == "Olá!"


def test_a_last_turn_by_another_name() -> None:
    assert read_prompt("[system abcd]\nx\n[turn abcd]\nWell?\n[reminder abcd]\ny").user == "Well?"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        pytest.param("", None, id="no such section"),
        pytest.param("[format abcd]\nUse Markdown.", None, id="not JSON"),
        pytest.param("[format abcd]\nAnswer with one JSON object.", {}, id="any object"),
        pytest.param(
            '[format abcd]\nJSON like {x} by this schema:\n{"type":"object"}\n',
            {"type": "object"},
            id="schema",
        ),
        pytest.param(
            '[format abcd]\njson {"name":"n","schema":{"type":"array"}}',
            {"type": "array"},
            id="wrapped schema",
        ),
    ],
)
def test_formats(section: str, expected: object) -> None:
    assert read_prompt("[system abcd]\nx\n" + section).format_schema == expected
