"""The built-in answer to a request that no script covers: a tool call, JSON, the tools' results, or a sentence.

Tools are called while there is no result since the last user message.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from proxy.simulator.persona import ANY_OBJECT, choose
from proxy.simulator.prompt import Prompt, Section
from proxy.simulator.schema_sample import Hints, sample
from tests.support.provider.script import Call

Body = Mapping[str, Any]
Said = tuple[str, tuple[Call, ...]]

_KINDS = {"system": "system", "developer": "system", "assistant": "assistant", "tool": "result", "function": "result"}


def reply(body: Body) -> Said:
    """The text and the tool calls."""
    prompt = read_messages(body)
    if prompt.tools and not prompt.results:
        tool = choose(prompt)
        arguments = sample({"type": "object", **tool.parameters}, Hints(prompt.user))
        return "", (Call(tool.name, orjson.dumps(arguments).decode()),)
    if (schema := _schema(body.get("response_format"))) is not None:
        return orjson.dumps(sample(schema, Hints(prompt.user))).decode(), ()
    if prompt.results:
        return f"Here is what I found: {' and '.join(prompt.results)}", ()
    return f"Hello! You wrote: “{prompt.user}” This provider is a stand-in and wishes you a good day.", ()


def read_messages(body: Body) -> Prompt:
    """The request as the sections of a prompt, which the simulator's persona understands."""
    return Prompt(tuple(_sections(body)))


def _sections(body: Body) -> Iterator[Section]:
    choice = body.get("tool_choice")
    if choice != "none":
        yield Section("tools", "\n".join(orjson.dumps(tool).decode() for tool in body.get("tools") or ()))
    for message in body["messages"]:
        yield Section(_KINDS.get(message.get("role"), "user"), _text(message.get("content")))
    if isinstance(choice, dict):
        yield Section("reminder", f"You must call {choice.get('function', {}).get('name')}.")


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _schema(asked: object) -> Mapping[str, object] | None:
    """The schema of the JSON that was asked for; None if prose will do."""
    if not isinstance(asked, dict) or asked.get("type") not in ("json_object", "json_schema"):
        return None
    inner = asked.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else ANY_OBJECT
