"""The body of a chat completion request, checked and read into a ``Call``."""

import re
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec
import orjson

from proxy.core.call import (
    AssistantText,
    Call,
    Entry,
    JsonFormat,
    SystemText,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    UserText,
)
from proxy.core.callers.chat_decode import decode, decode_part
from proxy.core.callers.chat_schema import (
    ABSENT,
    Function,
    FunctionName,
    Message,
    Request,
    ResponseFormat,
    Stop,
    ToolSpec,
    Unsupported,
)
from proxy.errors import InvalidRequest

DIALECT = "openai-chat"
MEDIA = frozenset({"image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "video_url"})
SESSION_CHARS = 128
TOOL_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")

SMALL_FIELD = 64 * 1024
"""Bytes of ``tool_choice`` and of ``stop``."""
SCHEMA_BYTES = 512 * 1024
"""Bytes of ``response_format.json_schema.schema``."""
TOOL_VALUES = 100_000
"""Values in the parameters of all tools together."""
KINDS = {
    "metadata": "{",
    "logit_bias": "{",
    "prediction": "{",
    "audio": "{",
    "web_search_options": "{",
    "modalities": "[",
}
"""What the parameters begin with that are not read any further."""


class _Metadata(msgspec.Struct):
    session_id: msgspec.Raw = ABSENT


_DECODER = msgspec.json.Decoder(Request)
_METADATA = msgspec.json.Decoder(_Metadata)
_OBJECT = msgspec.json.Decoder(dict[str, Any] | None)
_STOP = msgspec.json.Decoder(Stop)
_ANY = msgspec.json.Decoder()
_UNSUPPORTED = tuple(get_type_hints(Unsupported))


@dataclass(frozen=True, slots=True)
class ChatCall(Call):
    """A call with what only this dialect's answer needs: a chunk with the usage, or calls in the form that came
    before tools."""

    include_usage: bool = False
    legacy_functions: bool = False


def read(body: bytes, id: str, created: int) -> ChatCall:
    """Raises ``InvalidRequest`` that names the field."""
    return read_request(*decode(_DECODER, body), id, created)


def read_request(request: Request, body: bytes, id: str, created: int) -> ChatCall:
    """``body`` is the request as a provider is to get it."""
    _check_kinds(request)
    system, history, media = _conversation(request.messages)
    legacy = bool(request.functions) and not request.tools
    if legacy:
        tools = _functions(request.functions or [])
        choice = _legacy_choice(request.function_call, tools)
    else:
        tools = _tools(request.tools or [])
        choice = _choice(decode_part(_ANY, request.tool_choice, "tool_choice", SMALL_FIELD), tools)
    stop = decode_part(_STOP, request.stop, "stop", SMALL_FIELD)
    return ChatCall(
        id=id,
        created=created,
        model=request.model,
        system=system,
        history=history,
        stream=bool(request.stream),
        include_usage=bool(request.stream and request.stream_options and request.stream_options.include_usage),
        tools=tools,
        choice=choice,
        parallel_calls=request.parallel_tool_calls is not False and not legacy,
        legacy_functions=legacy,
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        format=_format(request.response_format),
        answers=request.n or 1,
        unsupported=_sent(request) + media,
        session=_session(request),
        dialect=DIALECT,
        body=body,
    )


def _check_kinds(request: Request) -> None:
    for name, kind in KINDS.items():
        raw = getattr(request, name)
        if raw is not ABSENT and _begin(raw) not in (kind, "n"):
            wanted = "an array" if kind == "[" else "an object"
            raise InvalidRequest(f"{name}: {wanted} or null is expected", param=name)


def _begin(raw: msgspec.Raw) -> str:
    return chr(memoryview(raw)[0])


def _sent(request: Request) -> tuple[str, ...]:
    """``false`` and empty values ask for nothing."""
    sent = {name: getattr(request, name) for name in _UNSUPPORTED}
    return tuple(name for name, value in sent.items() if value is not None and value is not False and not _empty(value))


def _empty(value: object) -> bool:
    """Whether it is a value that is not built, and null, an empty list or an empty object."""
    if not isinstance(value, msgspec.Raw):
        return False
    written = bytes(memoryview(value)[:SMALL_FIELD])
    return written.translate(None, b" \t\r\n") in (b"null", b"[]", b"{}")


def _session(request: Request) -> str | None:
    raw = ABSENT if _begin(request.metadata) == "n" else _METADATA.decode(request.metadata).session_id
    session = decode_part(_ANY, raw, "metadata.session_id", SMALL_FIELD) if _begin(raw) == '"' else request.session_id
    return session[:SESSION_CHARS] if session else None


def _conversation(messages: list[Message]) -> tuple[str, tuple[Entry, ...], tuple[str, ...]]:
    """The leading system text, the rest in order, and the kinds of media that were left out."""
    entries: list[Entry] = []
    media: dict[str, None] = {}
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        text = _text(message, at, media)
        match message.role:
            case "system" | "developer":
                entries.append(SystemText(text))
            case "user":
                entries.append(UserText(text, message.name))
            case "assistant":
                calls = _calls(message)
                names |= {call.id: call.name for call in calls}
                entries.append(AssistantText(text, calls))
            case "tool":
                if message.tool_call_id is None:
                    raise InvalidRequest(
                        f"{at}.tool_call_id: a tool message needs the id of its call", param=f"{at}.tool_call_id"
                    )
                name = names.get(message.tool_call_id) or message.name or "unknown"
                entries.append(ToolResult(message.tool_call_id, name, text))
            case "function":
                entries.append(ToolResult("function", message.name or "unknown", text))
    leading = 0
    while leading < len(entries) and isinstance(entries[leading], SystemText):
        leading += 1
    system = "\n\n".join(entry.text for entry in entries[:leading] if isinstance(entry, SystemText))
    return system, tuple(entries[leading:]), tuple(media)


def _text(message: Message, at: str, media: dict[str, None]) -> str:
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        if message.role == "assistant":
            return ""
        raise InvalidRequest(f"{at}.content: a {message.role} message needs content", param=f"{at}.content")
    texts = []
    for index, part in enumerate(message.content):
        text = part.text if part.type == "text" else part.refusal if part.type == "refusal" else None
        if text is None and part.type in ("text", "refusal"):
            param = f"{at}.content[{index}].{part.type}"
            raise InvalidRequest(f"{param}: a {part.type} part needs it", param=param)
        if text is None:
            kind = part.type if part.type in MEDIA else "media"
            media[kind] = None
            text = f"[{kind}: not shown, this model reads text only]"
        texts.append(text)
    return "\n".join(texts)


def _calls(message: Message) -> tuple[ToolCall, ...]:
    made = [ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    if message.function_call is not None:
        made.append(ToolCall("function", message.function_call.name, message.function_call.arguments))
    return tuple(made)


def _tools(specs: list[ToolSpec]) -> tuple[Tool, ...]:
    tools = []
    values = 0
    for index, spec in enumerate(specs):
        at = f"tools[{index}]"
        if spec.type != "function":
            raise InvalidRequest(f"{at}.type: only 'function' is known here", param=f"{at}.type")
        if spec.function is None:
            raise InvalidRequest(f"{at}.function: it is missing", param=f"{at}.function")
        values = _add_values(values, spec.function, f"{at}.function")
        tools.append(_tool(spec.function, f"{at}.function"))
    return tuple(tools)


def _functions(functions: list[Function]) -> tuple[Tool, ...]:
    tools = []
    values = 0
    for index, function in enumerate(functions):
        values = _add_values(values, function, f"functions[{index}]")
        tools.append(_tool(function, f"functions[{index}]"))
    return tuple(tools)


def _add_values(values: int, function: Function, at: str) -> int:
    """``values`` and those in the parameters of another tool: at most one for each comma and each bracket."""
    written = bytes(function.parameters)
    values += sum(written.count(sign) for sign in (b",", b"[", b"{"))
    if values > TOOL_VALUES:
        param = f"{at}.parameters"
        raise InvalidRequest(f"{param}: more than {TOOL_VALUES} values in the parameters of all tools", param=param)
    return values


def _tool(function: Function, at: str) -> Tool:
    if not TOOL_NAME.fullmatch(function.name):
        raise InvalidRequest(f"{at}.name: 1 to 128 of A-Z a-z 0-9 _ . : / -", param=f"{at}.name")
    parameters = decode_part(_OBJECT, function.parameters, f"{at}.parameters", len(bytes(function.parameters)))
    _check_json(parameters, f"{at}.parameters")
    return Tool(function.name, function.description or "", parameters or {})


def _check_json(value: object, at: str) -> None:
    """What goes into a prompt has to be JSON that can be written again, inside something else."""
    try:
        orjson.dumps([value])
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"{at}: {error}", param=at) from None


def _legacy_choice(choice: str | FunctionName | None, tools: tuple[Tool, ...]) -> ToolChoice:
    if choice in (None, "none", "auto"):
        return ToolChoice("none" if choice == "none" else "auto")
    if isinstance(choice, FunctionName) and choice.name in {tool.name for tool in tools}:
        return ToolChoice("required", (choice.name,))
    raise InvalidRequest("function_call: 'none', 'auto' or the name of one of the functions", param="function_call")


def _format(wanted: ResponseFormat | None) -> JsonFormat | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return JsonFormat()
    param = "response_format.json_schema.schema"
    schema = decode_part(_OBJECT, wanted.json_schema.schema, param, SCHEMA_BYTES) if wanted.json_schema else None
    if schema is None:
        raise InvalidRequest(f"{param}: it is missing", param=param)
    _check_json(schema, param)
    return JsonFormat(schema)


def _choice(choice: object, tools: tuple[Tool, ...]) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case "none":
            return ToolChoice("none")
        case "auto":
            return ToolChoice("auto")
        case "required":
            parsed = ToolChoice("required")
        case {"type": "function", "function": {"name": str(name)}}:
            parsed = ToolChoice("required", (name,))
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(allowed)}}:
            parsed = ToolChoice(mode, tuple(_allowed_name(tool) for tool in allowed)) if allowed else ToolChoice("none")
        case _:
            raise InvalidRequest(
                "tool_choice: 'none', 'auto', 'required', a named function or allowed_tools", param="tool_choice"
            )
    known = {tool.name for tool in tools}
    if not tools and parsed.mode == "required":
        raise InvalidRequest("tool_choice: there are no tools to choose from", param="tool_choice")
    for name in parsed.names:
        if name not in known:
            raise InvalidRequest(f"tool_choice: {name[:128]!r} is not among the tools", param="tool_choice")
    return parsed


def _allowed_name(tool: object) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return name
    raise InvalidRequest("tool_choice.allowed_tools.tools: each names a function", param="tool_choice")
