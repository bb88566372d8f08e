"""The bodies of requests: a short one with one tool, as most have, or a conversation as agents that write code send
it, of so many kilobytes and with 36 tools."""

from functools import lru_cache

import orjson

ASKED = "Tell me what the proxy does."
LARGE_TOOLS = 36
RESULT = "    return self.state.machine(next_step, with_arguments=True)  # São Paulo\n" * 50
PROPERTIES = {f"parameter_{number}": {"type": "string", "description": "What it is " * 5} for number in range(6)}


@lru_cache
def openai_body(model: str, kilobytes: int) -> bytes:
    """A request for Chat Completions; as small as it can be if ``kilobytes`` is 0."""
    messages: list[dict[str, object]] = [{"role": "user", "content": ASKED}]
    body = {"model": model, "stream": True, "messages": messages, "tools": _tools(LARGE_TOOLS if kilobytes else 1)}
    made, limit = len(orjson.dumps(body)), kilobytes * 1024
    while made < limit:
        call_id = f"call_{len(messages)}"
        function = {"name": "tool_1", "arguments": f'{{"parameter_0": "file_{len(messages)}.py"}}'}
        step: list[dict[str, object]] = [
            {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": call_id, "content": RESULT},
        ]
        messages += step
        made += len(orjson.dumps(step))
    return orjson.dumps(body)


@lru_cache
def stackspot_body(kilobytes: int) -> bytes:
    """The same size of a conversation as a prompt, for servers that only pass it on."""
    prompt = ASKED + RESULT * (kilobytes * 1024 // len(RESULT.encode()))
    return orjson.dumps({"streaming": True, "user_prompt": prompt})


def _tools(count: int) -> list[dict[str, object]]:
    schema = {"type": "object", "properties": PROPERTIES if count > 1 else {}}
    return [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": "What this tool does " * (10 if count > 1 else 1),
                "parameters": schema,
            },
        }
        for number in range(count)
    ]
