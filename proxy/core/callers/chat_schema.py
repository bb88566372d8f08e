"""The shape of a chat completion request: fields, types and ranges, as OpenAI documents them. Unknown keys pass.

How many messages, parts and tools there may be is far beyond what any model can read: a body of ten megabytes that
holds nothing else would keep all other answers waiting.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Temperature = Annotated[float, Meta(ge=0, le=2)]
Unit = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=1)]
MESSAGES = PARTS = 32_768
TOOLS = 4_096
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
StopText = Annotated[str, Meta(max_length=1024)]


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
    content: str | Annotated[list[Part], Meta(max_length=PARTS)] | None = None
    name: str | None = None
    tool_calls: list[ToolCallSpec] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None


Messages = Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES)]


class FunctionName(Struct):
    name: str


class Function(Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class JsonSchema(Struct):
    schema: dict[str, Any] | None = None
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
    """Parameters that a text upstream cannot honour."""

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
    logit_bias: dict[str, float] | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


class Request(Unsupported, kw_only=True):
    model: ModelName
    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Count | None = None
    tools: Annotated[list[ToolSpec], Meta(max_length=TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[Function], Meta(max_length=TOOLS)] | None = None
    function_call: str | FunctionName | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=4)] | None = None
    response_format: ResponseFormat | None = None
    session_id: str | None = None
