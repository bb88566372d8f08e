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
    "Python's literals": lambda call: block(call.name, call.text.replace("true", "True").replace("false", "False")),
}
UNREADABLE = ("unescaped quote", "cut off in the middle")


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
        _faulty(first, dice) if dice.random() < fault_rate else clean(first),
        _faulty(first, dice) if dice.random() < repair_fault_rate else clean(first),
    )


def _faulty(call: MadeCall, dice: random.Random) -> str:
    return FAULTS[dice.choice(list(FAULTS))](call)
