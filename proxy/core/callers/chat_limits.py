"""How many messages, parts, calls, tools and fields a request may have. They are counted before any of them is built:
the decoder checks the length of a list only once all of it is there."""

from msgspec import MsgspecError, Raw, Struct, json, structs

from proxy.errors import InvalidRequest

MESSAGES = 32_768
"""Messages of a request."""
PARTS = 32_768
"""Content parts and tool calls of all messages together."""
TOOLS = 4_096
FIELDS = 100_000
"""Names in fields of the request that the proxy does not know. Those of the request itself go on to providers one by
one."""
LEAST_ITEM = len('{"type":""},')
LEAST_FIELD = len('"a":1,')
_NULL = Raw(b"null")
_LIST = ord("[")


class _Item(Struct, gc=False):
    """Whatever object stands in a list, skipped."""


class _Message(Struct, gc=False):
    content: Raw = _NULL
    tool_calls: Raw = _NULL


class _Request(Struct):
    messages: Raw = _NULL
    tools: Raw = _NULL
    functions: Raw = _NULL
    metadata: Raw = _NULL
    logit_bias: Raw = _NULL
    prediction: Raw = _NULL
    response_format: Raw = _NULL
    tool_choice: Raw = _NULL
    stream_options: Raw = _NULL


_REQUEST = json.Decoder(_Request)
_ITEMS = json.Decoder(list[_Item])
_MESSAGES = json.Decoder(list[_Message])


def check_counts(body: bytes) -> None:
    """Raise ``InvalidRequest`` for a request with too many of anything. What cannot be read is left to its reader."""
    if len(body) <= TOOLS * LEAST_ITEM:
        return
    try:
        request = _REQUEST.decode(body)
        for at, limit in (("messages", MESSAGES), ("tools", TOOLS), ("functions", TOOLS)):
            if _length(getattr(request, at), limit) > limit:
                raise InvalidRequest(f"{at}: more than {limit} of them", param=at)
        if _may_exceed(request.messages, PARTS):
            _check_parts(request.messages)
        known = structs.astuple(request)
        if len(body) - sum(memoryview(raw).nbytes for raw in known) > FIELDS * LEAST_FIELD:
            _check_names(body.count(b":") - sum(bytes(raw).count(b":") for raw in known))
    except (MsgspecError, RecursionError):
        return


def _check_parts(messages: Raw) -> None:
    count = 0
    for index, message in enumerate(_MESSAGES.decode(messages)):
        for name, raw in (("content", message.content), ("tool_calls", message.tool_calls)):
            count += _length(raw)
            if count > PARTS:
                at = f"messages[{index}].{name}"
                raise InvalidRequest(f"{at}: more than {PARTS} parts and calls in all messages", param=at)


def _check_names(count: int) -> None:
    if count > FIELDS:
        raise InvalidRequest(f"the request has more than {FIELDS} names in fields that are not known here")


def _may_exceed(raw: Raw, limit: int) -> bool:
    return memoryview(raw).nbytes > limit * LEAST_ITEM


def _length(raw: Raw, limit: int = 0) -> int:
    """The items of a list, as 0 where they cannot be more than ``limit``, and 0 for what is no list."""
    return len(_ITEMS.decode(raw)) if memoryview(raw)[0] == _LIST and _may_exceed(raw, limit) else 0
