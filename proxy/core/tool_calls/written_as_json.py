"""A block that is JSON as a whole: ``{"name": ..., "arguments": {...}}``, or a list of such objects."""

import json
from typing import NamedTuple

from proxy.core.tool_calls.json_lexer import object_in_string
from proxy.core.tool_calls.names import ToolNames

_NAMES = ("name", "tool", "function", "tool_name", "function_name")
_ARGUMENTS = ("arguments", "parameters", "args", "params", "input")
_ASIDE = frozenset(("id", "call_id", "tool_call_id", "index", "type"))
_LISTS = ("tool_calls", "calls")
_WRAPPERS = ("function", "tool_call", "function_call", "tool")


class WrittenCall(NamedTuple):
    """A call that was read. ``arguments`` is the text of a JSON object."""

    name: str
    arguments: str


def calls_in(text: str, names: ToolNames) -> tuple[list[WrittenCall], str]:
    """The calls that ``text`` holds, or none and what is wrong with it in words."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [], "the call is not valid JSON"
    if isinstance(value, dict) and len(value) == 1 and isinstance(listed := value.get(next(iter(value))), list):
        value = listed if next(iter(value)) in _LISTS else value
    calls = []
    for item in value if isinstance(value, list) else [value]:
        call = _call(item, names)
        if isinstance(call, str):
            return [], call
        calls.append(call)
    return (calls, "") if calls else ([], "the list holds no call")


def _call(value: object, names: ToolNames) -> WrittenCall | str:
    """One call, or what is wrong with it."""
    if not isinstance(value, dict):
        return "a call is no JSON object"
    for wrapper in _WRAPPERS:
        if isinstance(value.get(wrapper), dict) and not value.keys() - _ASIDE - {wrapper}:
            return _call(value[wrapper], names)
    named = [key for key in _NAMES if isinstance(value.get(key), str)]
    given = [key for key in _ARGUMENTS if key in value]
    if len(named) != 1 or len(given) > 1 or value.keys() - _ASIDE - {*named, *given}:
        return "the JSON is not one name and one object of arguments"
    name = names.meant(value[named[0]])
    if not given and not name.known:
        return "the JSON names no function that is offered"
    return _with_arguments(name.name, value[given[0]] if given else None)


def _with_arguments(name: str, arguments: object) -> WrittenCall | str:
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return WrittenCall(name, "{}")
    if isinstance(arguments, str):
        inner = object_in_string(arguments)
        return "the arguments are a string, not an object" if inner is None else WrittenCall(name, inner)
    if not isinstance(arguments, dict):
        return "the arguments are not a JSON object"
    return WrittenCall(name, json.dumps(arguments, ensure_ascii=False))
