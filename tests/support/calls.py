"""Calls for tests, with everything that does not matter filled in."""

from typing import Any

from proxy.core.call import Tool, UserText
from proxy.core.callers.chat_request import ChatCall

WEATHER = Tool(
    "get_weather",
    "The weather in a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def a_call(text: str = "Hi", **fields: Any) -> ChatCall:
    given = {"id": "r1", "created": 1, "model": "m", "system": "", "history": (UserText(text),)}
    return ChatCall(**(given | fields))
