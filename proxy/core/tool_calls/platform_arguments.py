"""Arguments that StackSpot's platform adds to calls at times."""

import json
from collections.abc import Iterable

from proxy.core.call import Tool

PLATFORM_ARGUMENTS = ("step_id", "tool_execution_id")
"""They are removed unless the tool's schema has them (strength of this fact: a guess, see StackSpot's API notes)."""


class PlatformArguments:
    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def removed(self, name: str, arguments: str) -> str:
        """``arguments`` without them; unchanged where there are none."""
        if not any(f'"{key}"' in arguments for key in PLATFORM_ARGUMENTS):
            return arguments
        tool = self._tools.get(name)
        properties = tool.parameters.get("properties") if tool else None
        known = properties if isinstance(properties, dict) else {}
        value = json.loads(arguments)  # unlike orjson, it keeps numbers of any size and half emojis as they are
        left = {key: item for key, item in value.items() if key in known or key not in PLATFORM_ARGUMENTS}
        return arguments if len(left) == len(value) else json.dumps(left, ensure_ascii=False)
