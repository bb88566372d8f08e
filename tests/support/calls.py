"""Calls for tests, with everything that does not matter filled in."""

from typing import Any

from proxy.core.call import Call, Tool, UserText

WEATHER = Tool(
    "get_weather",
    "The weather in a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def a_call(text: str = "Hi", **fields: Any) -> Call:
    given = {"id": "r1", "created": 1, "model": "m", "system": "", "history": (UserText(text),)}
    return Call(**(given | fields))
