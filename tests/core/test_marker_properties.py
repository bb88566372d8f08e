"""Properties of the marker machine, for texts and calls that nobody thought of."""

import itertools
import json
from collections.abc import Callable, Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.answer import Finish
from proxy.core.call import Tool
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.tool_calls.markers import MarkerPair
from proxy.core.tool_calls.platform_arguments import PLATFORM_ARGUMENTS
from proxy.core.tool_calls.scanner import LEAD_LIMIT
from tests.support.answers import Notes, Told

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
PLAIN = ToolPolicy()
NAMES = ("go", "get_weather", "Look-Up")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([S, E, f"\n{E}\n", "```", '"}', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEY = st.text(max_size=8).filter(lambda key: key not in PLATFORM_ARGUMENTS)  # hypothesis tries what the code names
ARGUMENTS = st.dictionaries(KEY, JSON, max_size=4)


def plain(name: str, text: str) -> str:
    return f"{S}\n{name}\narguments: {text}\n{E}"


STYLES: list[Callable[[str, str], str]] = [
    plain,
    lambda name, text: f"{S}\nfunction_name: {name}\narguments: {text}\n{E}",
    lambda name, text: f"{S}\n{name}\narguments:\n{text}\n{E}",
    lambda name, text: f"{S}\n{name}\n{text}\n{E}",
    lambda name, text: f"{S}\n{name}\narguments:\n```json\n{text}\n```\n{E}",
    lambda name, text: f"```\n{S}\n{name}\narguments: {text}\n{E}\n```",
    lambda name, text: f"{S}\r\n{name}\r\narguments: {text}\r\n{E}",
    lambda name, text: f"{S}\n{name.upper()}\narguments: {text}\n{E}",
    lambda name, text: f"{S}\nfunctions.{name}\narguments: {text}\n{E}",
    lambda name, text: f"{S}\n{name}\narguments: {json.dumps(text)}\n{E}",
    lambda name, text: f"{S}\n{name}\narguments: {text}\n",
]


def read(pieces: Sequence[str], policy: ToolPolicy = PLAIN, *, parallel: bool = True) -> Told:
    notes = Notes()
    tools = [Tool(name) for name in NAMES]
    markers = ToolCalls(notes, MarkerPair(S, E), tools, seed="s", policy=policy, parallel=parallel)
    for piece in pieces:
        markers.text(piece)
    markers.finish(Finish("stop"))
    return notes.told


def cut(text: str, places: list[int]) -> list[str]:
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)
NEARLY = st.text(alphabet=" \t\n`F_") | st.sampled_from([S[:-1], S[:8], "```json\n", "\n\n", " ", "\r\n", E, "For"])


@given(st.lists(NEARLY | st.text(max_size=10), max_size=12).map("".join).filter(lambda text: S not in text), PLACES)
@example("\n" * (LEAD_LIMIT + 5) + "x", [3, 200, 259])
def test_text_without_markers_comes_out_unchanged(text: str, places: list[int]) -> None:
    expected: Told = [("text", text)] if text else []
    assert [*expected, ("finish", "stop")] == read(cut(text, places))


@given(st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS, st.sampled_from(STYLES)), min_size=1, max_size=4), PLACES)
def test_calls_come_out_equal(
    calls: list[tuple[str, dict[str, object], Callable[[str, str], str]]], places: list[int]
) -> None:
    text = "\n".join(style(name, json.dumps(arguments)) for name, arguments, style in calls)
    *told, end = read(cut(text, places))
    assert ("finish", "tool_calls") == end
    assert [(name, arguments) for name, arguments, _ in calls] == [(name, json.loads(text)) for _, name, text in told]


PARTS = [
    S, E, f"{S}\ngo\n", "arguments: ", "args:", "{", "}", '"', "go", "get_weather", "Look-", "name: ", "(", ")", "[", "]", ":", ".",
    "`", "``", "```\n", "**", "__", "- ", "> ", "#", "<", ">", "\u200b", "\u00a0", "FUNCTION", "\\_CALL", "_START", " call ", "end",
    "<think>", "</think>", "<think", "<tool_call>", '{"name": "go", "arguments": {}}', '{"name": ', "[TOOL_CALLS]", "Action: ", "?",
    "null", "none", ";", " // x", "\r\n", "&#95;", "\uff26unction", "<function=", '"a": 1', "-Infinity", f"{S} go {{}} {E}", "Well. ",
]  # fmt: skip
POLICIES = [
    ToolPolicy(),
    ToolPolicy(keep_text=True, show_reasoning=True),
    ToolPolicy(stream_arguments=True),
    ToolPolicy(keep_text=True, stream_arguments=True, max_arguments=40),
]


@given(st.lists(NEARLY | st.sampled_from(PARTS), max_size=18), PLACES, st.sampled_from(POLICIES), st.booleans())
@example([" " * LEAD_LIMIT, S, "\ngo\n{}\n", E], [1, 255, 256], ToolPolicy(), True)
@example(["```json\n", "\n" * LEAD_LIMIT, S, "\ngo\n{}\n", E], [1, 8, 200], ToolPolicy(), True)
@example(["\n", "```", "\n" * (LEAD_LIMIT - 4), S, "\ngo\n{}\n", E], [1, 8, 200], ToolPolicy(), True)
def test_cuts_never_matter(parts: list[str], places: list[int], policy: ToolPolicy, flag: bool) -> None:
    """Whatever the text, true calls and wrecks among it: where it is cut changes nothing."""
    text = "".join(parts)
    whole = read([text], policy, parallel=flag)
    assert whole == read(cut(text, places), policy, parallel=flag)
    assert whole == read(list(text), policy, parallel=flag)
