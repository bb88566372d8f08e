"""The body of a chat completion request, checked and read into a ``Call``."""

import re
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

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
from proxy.core.callers.chat_schema import (
    Function,
    FunctionName,
    Message,
    Request,
    ResponseFormat,
    ToolSpec,
    Unsupported,
)
from proxy.errors import InvalidRequest

DIALECT = "openai-chat"
BOM = b"\xef\xbb\xbf"
MEDIA = frozenset({"image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "video_url"})
SESSION_CHARS = 128
TOOL_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")

_DECODER = msgspec.json.Decoder(Request)
Shape = TypeVar("Shape")
_UNSUPPORTED = tuple(get_type_hints(Unsupported))
_AT = re.compile(r" - at `\$\.?(.*?)`$")
_ENUM = re.compile(r"Invalid enum value .*", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[c-fC-F][0-9a-fA-F]{2})")
MENDED = 200_000
"""So many surrogates of a body are looked at, when one of them has made it unreadable."""
_MISSING = re.compile(r"missing required field `(\w+)`")


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
    system, history, media = _conversation(request.messages)
    legacy = bool(request.functions) and not request.tools
    if legacy:
        tools = _functions(request.functions or [])
        choice = _legacy_choice(request.function_call, tools)
    else:
        tools = _tools(request.tools or [])
        choice = _choice(request.tool_choice, tools)
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
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        format=_format(request.response_format),
        answers=request.n or 1,
        unsupported=_sent(request) + media,
        session=_session(request),
        dialect=DIALECT,
        body=body,
    )


def decode(decoder: msgspec.json.Decoder[Shape], body: bytes) -> tuple[Shape, bytes]:
    """The request, and its body as it can be passed on."""
    try:
        body.decode()  # the decoder does not look into the texts that it skips
        body = body.removeprefix(BOM)
        try:
            return decoder.decode(body), body
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            body = _without_surrogates(body)
            return decoder.decode(body), body
    except msgspec.ValidationError as error:
        text = str(error)
        at = _AT.search(text)
        path = at[1] if at else ""
        if missing := _MISSING.search(text):
            path = f"{path}.{missing[1]}" if path else missing[1]
        text = _ENUM.sub("not one of the values that are known here", _AT.sub("", text))
        raise InvalidRequest(f"{path}: {text}" if path else text, param=path.replace("[...]", "") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def _without_surrogates(body: bytes) -> bytes:
    """JavaScript clients that cut a string inside an emoji send half of it, escaped; it becomes ``?``."""
    return _SURROGATE.sub(_without_half, body, count=MENDED)


def _without_half(found: re.Match[bytes]) -> bytes:
    body, at, whole = found.string, found.start(), found[0]
    while at and body[at - 1] == ord("\\"):
        at -= 1
    if (found.start() - at) % 2:  # the first backslash is escaped itself: what it stands before is text
        return whole[:6] + b"?" if found[1] else whole
    return whole if found[1] else b"?"


def _sent(request: Request) -> tuple[str, ...]:
    """``false`` and empty values ask for nothing."""
    sent = {name: getattr(request, name) for name in _UNSUPPORTED}
    return tuple(
        name for name, value in sent.items() if value is not None and value is not False and value not in ([], {})
    )


def _session(request: Request) -> str | None:
    in_metadata = (request.metadata or {}).get("session_id")
    session = in_metadata if isinstance(in_metadata, str) else request.session_id
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
    for index, spec in enumerate(specs):
        at = f"tools[{index}]"
        if spec.type != "function":
            raise InvalidRequest(f"{at}.type: only 'function' is known here", param=f"{at}.type")
        if spec.function is None:
            raise InvalidRequest(f"{at}.function: it is missing", param=f"{at}.function")
        tools.append(_tool(spec.function, f"{at}.function"))
    return tuple(tools)


def _functions(functions: list[Function]) -> tuple[Tool, ...]:
    return tuple(_tool(function, f"functions[{index}]") for index, function in enumerate(functions))


def _tool(function: Function, at: str) -> Tool:
    if not TOOL_NAME.fullmatch(function.name):
        raise InvalidRequest(f"{at}.name: 1 to 128 of A-Z a-z 0-9 _ . : / -", param=f"{at}.name")
    _check_json(function.parameters, f"{at}.parameters")
    return Tool(function.name, function.description or "", function.parameters or {})


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
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        param = "response_format.json_schema.schema"
        raise InvalidRequest(f"{param}: it is missing", param=param)
    _check_json(wanted.json_schema.schema, "response_format.json_schema.schema")
    return JsonFormat(wanted.json_schema.schema)


def _choice(choice: str | dict[str, Any] | None, tools: tuple[Tool, ...]) -> ToolChoice:
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
