"""Rendering of a large prompt: 230 KB of conversation and 36 tools, as agents that write code send them."""

import time

from proxy.core.call import AssistantText, Call, Entry, Tool, ToolCall, ToolResult, UserText
from proxy.core.prompt import render

KILOBYTES = 230
TOOLS = 36
RESULT = "    return self.state.machine(next_step, with_arguments=True)  # São Paulo\n" * 50
PROPERTIES = {f"parameter_{number}": {"type": "string", "description": "What it is " * 5} for number in range(6)}


def large_call() -> Call:
    tools = tuple(
        Tool(f"tool_{number}", "What this tool does " * 10, {"type": "object", "properties": PROPERTIES})
        for number in range(TOOLS)
    )
    history: list[Entry] = [UserText("Mend the bug, please.")]
    while len(render(_call(tools, history), b"secret").text) < KILOBYTES * 1024:
        number = len(history)
        call = ToolCall(f"call_{number}", "tool_1", f'{{"parameter_0": "file_{number}.py"}}')
        history += [AssistantText("", (call,)), ToolResult(call.id, call.name, RESULT)]
    return _call(tools, history)


def rendering_ms(repeats: int) -> list[float]:
    """How long each of some renderings took, in milliseconds."""
    call, taken = large_call(), []
    for _ in range(repeats):
        started = time.perf_counter()
        render(call, b"secret")
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def _call(tools: tuple[Tool, ...], history: list[Entry]) -> Call:
    return Call(id="1", created=1, model="m", system="Be brief.", history=tuple(history), tools=tools)
