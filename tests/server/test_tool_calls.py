"""Tool calls that models slip in, through a real proxy: streamed and whole answers say the same."""

import json
from typing import Any

import pytest

from tests.config.test_load import STACKSPOT
from tests.conftest import Launch
from tests.support.chat import ask, frames, stream
from tests.support.processes import Proxy, StandIn

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "read_file", "write_file", "run")
]
W = '{"city": "Rome"}'
WEATHER = ("get_weather", {"city": "Rome"})
WRITE = f'{S}\nwrite_file\narguments: {{"path": "/a", "content": "x"}}\n{E}'
WROTE = ("write_file", {"path": "/a", "content": "x"})
READ = f'{S}\nread_file\narguments: {{"path": "/b"}}\n{E}'
HAS_READ = ("read_file", {"path": "/b"})
RUN = f'{S}\nrun\narguments: {{"command": "rm"}}\n{E}'
RAN = ("run", {"command": "rm"})
MODEL = "chat"
HERMES = '<tool_call>\n{"name": "run", "arguments": {"command": "rm"}}\n</tool_call>'

# What the rounds answer; the text and the calls that the caller gets.
ANSWERS: dict[str, tuple[list[str], str, list[tuple[str, dict[str, str]]]]] = {
    "a colon behind the marker": ([f"{S}:\nget_weather\narguments: {W}\n{E}"], "", [WEATHER]),
    "the name on the marker's line": ([f"{S} get_weather\narguments: {W}\n{E}"], "", [WEATHER]),
    "other labels": ([f"{S}\nname: get_weather\n**arguments:** {W}\n{E}"], "", [WEATHER]),
    "one object": ([f'{S}\n{{"name": "get_weather", "parameters": {W}}}\n{E}'], "", [WEATHER]),
    "markers in backticks": ([f"`{S}`\nget_weather\narguments: {W}\n`{E}`"], "", [WEATHER]),
    "words on the marker's line": ([f"Let me check.{S}\nget_weather\nargs: {W}\n{E}"], "Let me check.", [WEATHER]),
    "a good call, then another label": ([f"{WRITE}\n{READ.replace('arguments', 'args')}"], "", [WROTE, HAS_READ]),
    "a repair that repeats a call": (
        [f"{WRITE}\n{READ.replace(chr(34), chr(39))}", f"{WRITE}\n{READ}"],
        "",
        [WROTE, HAS_READ],
    ),
    "a broken call before a good one": ([f"{READ.replace(chr(34), chr(39))}\n{WRITE}", READ], "", [HAS_READ, WROTE]),
    "a call between reasoning tags": ([f"<think>\n{RUN}\ntoo dangerous\n</think>\n\nI will not."], "I will not.", []),
    "another format, then the block": (["Well.\n" + HERMES, RUN], "Well.", [RAN]),
    "another format, then words": (["Well.\n" + HERMES, "It was an example."], "Well.\n\nIt was an example.", []),
    "another format twice": ([HERMES, HERMES], HERMES, []),
    "a fenced block and a question": ([f"```\n{RUN}\n```\nShall I run it?", "May I run rm?"], "May I run rm?", []),
    "an answer that ends in the name": ([f"{S}\nget_w", f"{S}\nget_weather\narguments: {W}\n{E}"], "", [WEATHER]),
    "two calls in one block": ([f"{S}\nget_weather\n{W}\nread_file\n{{\"path\": \"/b\"}}\n{E}"], "", [WEATHER, HAS_READ]),
    "a marker in a sentence": ([f"The marker {S} opens a call."], f"The marker {S} opens a call.", []),
}  # fmt: skip


def streamed(proxy: Proxy, correlation_id: str, **parameters: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """The text, the calls and the finish reason of a streamed answer."""
    with stream(proxy, correlation_id, **parameters) as reply:
        choices = [frame["choices"][0] for frame in frames(reply) if isinstance(frame, dict)]
    made: dict[int, list[str]] = {}
    for choice in choices:
        for piece in choice["delta"].get("tool_calls", []):
            call = made.setdefault(piece["index"], ["", ""])
            call[0] += piece["function"].get("name", "")
            call[1] += piece["function"]["arguments"]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return text, [(name, json.loads(arguments)) for name, arguments in made.values()], choices[-1]["finish_reason"]


def whole(proxy: Proxy, correlation_id: str, **parameters: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """The same of one that is not."""
    choice = ask(proxy, correlation_id, **parameters).json()["choices"][0]
    made = [call["function"] for call in choice["message"].get("tool_calls") or []]
    calls = [(function["name"], json.loads(function["arguments"])) for function in made]
    return choice["message"]["content"] or "", calls, choice["finish_reason"]


@pytest.mark.parametrize("read", [streamed, whole])
@pytest.mark.parametrize("case", ANSWERS)
def test_calls_that_are_plainly_meant(
    case: str, read: Any, proxy: Proxy, stand_in: StandIn, correlation_id: str
) -> None:
    rounds, text, calls = ANSWERS[case]
    stand_in.script(correlation_id, *({"text": answer} for answer in rounds))
    assert (text, calls, "tool_calls" if calls else "stop") == read(proxy, correlation_id, tools=TOOLS)
    assert len(rounds) == len(stand_in.requests(correlation_id))


@pytest.mark.parametrize(
    "broken", [f"{S}\nget_w", f"{S}\nget_weather\ncity: Rome\n{E}", f'{S} get_weather {{"n": -Infinity}} {E}']
)
def test_a_call_that_cannot_be_read_twice_is_an_honest_error(
    broken: str, proxy: Proxy, stand_in: StandIn, correlation_id: str
) -> None:
    stand_in.script(correlation_id, {"text": broken}, {"text": broken})
    reply = ask(proxy, correlation_id, tools=TOOLS)
    assert (502, "tool_call_parse_error") == (reply.status_code, reply.json()["error"]["code"])
    assert 2 == len(stand_in.requests(correlation_id))
    assert S not in reply.text


COMBINATIONS: dict[str, tuple[dict[str, Any], list[str], str, list[tuple[str, dict[str, str]]]]] = {
    "not parallel": ({"parallel_tool_calls": False}, [f"**{S}**\nget_weather\nargs: {W}\n**{E}**\n{READ}"], "", [WEATHER]),
    "not parallel, two in one block": (
        {"parallel_tool_calls": False}, [f"{S}\nget_weather\n{W}\nread_file\n{{}}\n{E}"], "", [WEATHER],
    ),
    "required": ({"tool_choice": "required"}, [f"Hm.{S} get_weather\nargs: {W}\n{E}"], "", [WEATHER]),
    "required, another format": ({"tool_choice": "required"}, [HERMES, RUN], "", [RAN]),
    "required, words, then a call": ({"tool_choice": "required"}, ["Hm.", f"`{S}`\nrun\n{{}}\n`{E}`"], "", [("run", {})]),
    "named": (
        {"tool_choice": {"type": "function", "function": {"name": "read_file"}}}, [f"{S}:\nname: read_file\n{E}"], "", [("read_file", {})],
    ),
    "none": ({"tool_choice": "none"}, [f"<think>a</think>{HERMES}"], f"<think>a</think>{HERMES}", []),
}  # fmt: skip


@pytest.mark.parametrize("read", [streamed, whole])
@pytest.mark.parametrize("case", COMBINATIONS)
def test_with_the_choices_of_a_request(
    case: str, read: Any, proxy: Proxy, stand_in: StandIn, correlation_id: str
) -> None:
    parameters, rounds, text, calls = COMBINATIONS[case]
    stand_in.script(correlation_id, *({"text": answer} for answer in rounds))
    assert (text, calls, "tool_calls" if calls else "stop") == read(proxy, correlation_id, tools=TOOLS, **parameters)
    assert len(rounds) == len(stand_in.requests(correlation_id))


@pytest.mark.parametrize("read", [streamed, whole])
def test_with_the_settings_of_tools(read: Any, launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch(STACKSPOT + "proxy: {tools: {keep_text: true, stream_arguments: true, reasoning: show}}\n")
    stand_in.script(
        correlation_id,
        {"text": f"<think>Hm.</think>One.\n- {S}\n- get_weather\n- args: {W}\n- {E}\nTwo.\n{READ}"},
        {"text": f"{WRITE}\n{S}\nread_file\npath: /b\n{E}"},
        {"text": f"{WRITE}\n{READ}"},
    )
    text, calls, end = read(proxy, correlation_id, tools=TOOLS, model=MODEL)
    assert ("One.\nTwo.", [WEATHER, HAS_READ], "tool_calls") == (text, calls, end)
    assert [WROTE, HAS_READ] == read(proxy, correlation_id, tools=TOOLS, model=MODEL)[1]
    stand_in.script(correlation_id, {"text": "<think>Hm.</think>One."})
    message = ask(proxy, correlation_id, tools=TOOLS, model=MODEL).json()["choices"][0]["message"]
    assert ("Hm.", "One.") == (message["reasoning_content"], message["content"])
    assert 1 == proxy.metric("proxy_tool_calls_total", outcome="repaired")


def test_rescued_calls_are_counted(launch: Launch, stand_in: StandIn, correlation_id: str) -> None:
    proxy = launch()
    stand_in.script(correlation_id, {"text": HERMES}, {"text": RUN})
    ask(proxy, correlation_id, tools=TOOLS)
    assert 1 == proxy.metric("proxy_tool_calls_total", outcome="rescued")
    assert 0 == proxy.metric("proxy_tool_calls_total", outcome="parsed")


def test_a_repair_whose_upstream_fails_is_asked_for_again(
    launch: Launch, stand_in: StandIn, correlation_id: str
) -> None:
    proxy = launch(STACKSPOT)
    broken = READ.replace('"', "'")
    stand_in.script(correlation_id, {"text": f"Hm.\n{broken}"}, {"status": 503}, {"text": READ})
    assert ("Hm.", [HAS_READ], "tool_calls") == streamed(proxy, correlation_id, tools=TOOLS, model=MODEL)
    prompts = [sent["body"]["user_prompt"] for sent in stand_in.requests(correlation_id)]
    assert [False, True, True] == [broken in prompt for prompt in prompts]
