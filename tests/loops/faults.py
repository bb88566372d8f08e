"""Tool calls as models write them, with the faults they commit; seeded, so every run sees the same ones."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

S, E = "FUNCTION_CALL_START", "FUNCTION_CALL_END"
WORDS = (
    "São Paulo",
    "the quick fox",
    "C:\\temp\\x",
    "a {nested} [brace]",
    "line one\nline two",
    'say "hi" to them',
    "naïve café",
)
TOOLS = [
    {"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}}}},
    {"name": "write_file", "parameters": {"type": "object", "properties": {"path": {"type": "string"}, "content": {"type": "string"}}}},
    {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "metric": {"type": "boolean"}}}},
]  # fmt: skip


@dataclass(frozen=True)
class MadeCall:
    name: str
    arguments: dict[str, object]

    @property
    def text(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)


def some_call(dice: random.Random) -> MadeCall:
    word = dice.choice(WORDS)
    return dice.choice(
        [
            MadeCall("search", {"query": word, "limit": dice.randint(1, 9)}),
            MadeCall("write_file", {"path": f"/tmp/{dice.randint(1, 99)}", "content": f"{word}!"}),
            MadeCall("get_weather", {"city": word, "metric": dice.random() < 0.5}),
        ]
    )


def block(name: str, arguments: str, end: str = f"\n{E}") -> str:
    return f"{S}\n{name}\narguments: {arguments}{end}"


def clean(call: MadeCall) -> str:
    return block(call.name, call.text)


def unescaped_quote(call: MadeCall) -> str:
    """The one value is quoted inside and the quotes are not escaped."""
    key = next(iter(call.arguments))
    return block(
        call.name, json.dumps({**call.arguments, key: "@@"}, ensure_ascii=False).replace("@@", 'the "best" one')
    )


def cut_off(call: MadeCall) -> str:
    text = clean(call)
    return text[: text.index("{") + max(2, (len(call.text)) // 2)]


FAULTS: dict[str, Callable[[MadeCall], str]] = {
    "unescaped quote": unescaped_quote,
    "cut off in the middle": cut_off,
    "trailing comma": lambda call: block(call.name, call.text[:-1] + ",}"),
    "raw newline": lambda call: block(call.name, call.text.replace("\\n", "\n")),
    "missing end marker": lambda call: block(call.name, call.text, end=""),
    "prose around the call": lambda call: f"Let me do that.\n\n{clean(call)}\n\nThe result will be 42.",
    "a fence": lambda call: f"```json\n{clean(call)}\n```",
    "wrong case of the name": lambda call: block(call.name.title(), call.text),
    "arguments as a string": lambda call: block(call.name, json.dumps(call.text)),
    "a colon behind the marker": lambda call: clean(call).replace(S, f"{S}:"),
    "the name on the marker's line": lambda call: f"{S} {call.name}\narguments: {call.text}\n{E}",
    "all on one line": lambda call: f"{S} {call.name} arguments: {call.text} {E}",
    "another label": lambda call: clean(call).replace("arguments:", "**args:**"),
    "a labelled name": lambda call: clean(call).replace(f"\n{call.name}\n", f"\nname: `{call.name}`\n"),
    "one object": lambda call: f'{S}\n{{"name": "{call.name}", "parameters": {call.text}}}\n{E}',
    "markers in backticks": lambda call: clean(call).replace(S, f"`{S}`").replace(E, f"`{E}`"),
    "bold markers": lambda call: clean(call).replace(S, f"**{S}**").replace(E, f"**{E}**"),
    "escaped markers": lambda call: clean(call).replace("_CALL_", "\\_CALL\\_"),
    "lower case": lambda call: clean(call).replace(S, S.lower()).replace(E, E.lower()),
    "words on the marker's line": lambda call: f"Let me check.{clean(call)}",
    "reasoning first": lambda call: f"<think>\nNot {block('search', '{}')}\n</think>\n\n{clean(call)}",
    "name(arguments)": lambda call: f"{S}\n{call.name}({call.text})\n{E}",
    "a comment behind": lambda call: block(call.name, f"{call.text}; // as asked"),
    "a missing last brace": lambda call: block(call.name, call.text[:-1]),
    "apostrophes for quotes": lambda call: block(call.name, repr(call.arguments)),
    "ends inside the name": lambda call: f"Well.\n{S}\n{call.name[:4]}",
    "Python's literals": lambda call: block(call.name, call.text.replace("true", "True").replace("false", "False")),
}
UNREADABLE = ("unescaped quote", "cut off in the middle")
OTHER_FORMATS: dict[str, Callable[[MadeCall], str]] = {
    "Hermes": lambda call: f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.text}}}\n</tool_call>',
    "JSON as the whole answer": lambda call: f'```json\n{{"tool": "{call.name}", "parameters": {call.text}}}\n```',
    "a question behind a fence": lambda call: f"```\n{clean(call)}\n```\nShall I go on?",
}
"""What a model is asked about. Once asked for the block it writes one, with the faults above."""


@dataclass(frozen=True)
class Step:
    """What the model means to call, what it writes, and what it writes when asked to repair it."""

    calls: tuple[MadeCall, ...]
    written: str
    repaired: str


def some_step(dice: random.Random, *, fault_rate: float, repair_fault_rate: float) -> Step:
    """One call in four comes with a second one, half of these glued to it."""
    first = some_call(dice)
    if dice.random() < 0.25:
        second = some_call(dice)
        return Step((first, second), clean(first) + dice.choice(["", "\n"]) + clean(second), "")
    return Step(
        (first,),
        _faulty(first, dice, FAULTS | OTHER_FORMATS) if dice.random() < fault_rate else clean(first),
        _faulty(first, dice, FAULTS) if dice.random() < repair_fault_rate else clean(first),
    )


def _faulty(call: MadeCall, dice: random.Random, faults: dict[str, Callable[[MadeCall], str]]) -> str:
    return faults[dice.choice(list(faults))](call)
