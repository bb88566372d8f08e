"""The shape of a chat completion request: fields, types and ranges, as OpenAI documents them. Unknown keys pass.

How many messages, parts and tools there may be is far beyond what any model can read: a body of ten megabytes that
holds nothing else would keep all other answers waiting. A ``Raw`` value is not built: it is read on its own within a
limit, or not at all.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

Temperature = Annotated[float, Meta(ge=0, le=2)]
Unit = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1)]
ABSENT = Raw(b"null")
_NULL = {"type": "null"}
_OBJECT = {"type": "object"}
_STOP = [
    {"type": "string", "maxLength": 1024},
    {"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 1024}},
]
RawObject = Annotated[Raw, Meta(extra_json_schema={"anyOf": [_OBJECT, _NULL]})]
RawList = Annotated[Raw, Meta(extra_json_schema={"anyOf": [{"type": "array"}, _NULL]})]
RawChoice = Annotated[Raw, Meta(extra_json_schema={"anyOf": [{"type": "string"}, _OBJECT, _NULL]})]
RawStop = Annotated[Raw, Meta(extra_json_schema={"anyOf": [*_STOP, _NULL]})]
"""What these values are, for the OpenAPI document."""
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
StopText = Annotated[str, Meta(max_length=1024)]


def _absent() -> Raw:
    return ABSENT


Stop = StopText | Annotated[list[StopText], Meta(max_length=4)] | None


class Part(Struct):
    type: str
    text: str | None = None
    refusal: str | None = None


class FunctionCall(Struct):
    name: str
    arguments: str = ""


class ToolCallSpec(Struct):
    id: str
    function: FunctionCall


class Message(Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCallSpec] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None


Messages = Annotated[list[Message], Meta(min_length=1)]


class FunctionName(Struct):
    name: str


class Function(Struct):
    name: str
    description: str | None = None
    parameters: RawObject = field(default_factory=_absent)


class JsonSchema(Struct):
    schema: RawObject = field(default_factory=_absent)
    name: str | None = None


class ResponseFormat(Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ToolSpec(Struct):
    type: str
    function: Function | None = None


class StreamOptions(Struct):
    include_usage: bool | None = None


class Unsupported(Struct, kw_only=True):
    """Parameters that a text upstream cannot honour. Of those that are ``Raw`` only the kind is looked at."""

    temperature: Temperature | None = None
    top_p: Unit | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: RawObject = field(default_factory=_absent)
    store: bool | None = None
    metadata: RawObject = field(default_factory=_absent)
    user: str | None = None
    service_tier: str | None = None
    modalities: RawList = field(default_factory=_absent)
    audio: RawObject = field(default_factory=_absent)
    prediction: RawObject = field(default_factory=_absent)
    web_search_options: RawObject = field(default_factory=_absent)
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


class Request(Unsupported, kw_only=True):
    model: ModelName
    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    tools: list[ToolSpec] | None = None
    tool_choice: RawChoice = field(default_factory=_absent)
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | FunctionName | None = None
    stop: RawStop = field(default_factory=_absent)
    response_format: ResponseFormat | None = None
    session_id: str | None = None
