"""StackSpot AI's agent chat: one text goes in, server-sent JSON events come out."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote

import orjson

from proxy.core import prompt
from proxy.core.answer import Answer
from proxy.core.call import Call
from proxy.core.dialect import Headers, Outgoing, Round
from proxy.core.filters.json_answer import JsonAnswer
from proxy.core.filters.json_schema import check_schema
from proxy.core.filters.length import Length
from proxy.core.filters.required import RequiredCall
from proxy.core.filters.stop import Stop
from proxy.core.tool_calls.filter import ToolCalls, ToolPolicy
from proxy.core.upstreams.stackspot_errors import refusal
from proxy.core.upstreams.stackspot_stream import StackSpotReader
from proxy.errors import InvalidRequest, ProxyError, ToolCallUnreadable

_HEADERS = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
SAFETY = 0.95  # of the room that an agent says it has, since characters are no tokens


@dataclass(frozen=True, slots=True)
class StackSpot:
    """The dialect towards one agent.

    ``name`` is the model's, for messages. ``secret`` keys the nonce of prompts: one that all replicas share. With
    ``end_marker`` optional, a response that ends cleanly without a final event counts as whole. With
    ``remembers`` the agent keeps the conversation, told apart by the call's, and callers send only what is new.
    """

    name: str
    agent_id: str
    secret: bytes = field(repr=False)
    tools: ToolPolicy = field(default_factory=ToolPolicy)
    end_marker: Literal["required", "optional"] = "required"
    remembers: bool = False
    enforce_max_tokens: bool = False

    def exchange(self, call: Call, round: Round) -> "StackSpotExchange":
        limit = prompt.SIZE_LIMIT
        if round.room is not None:
            full = len(prompt.render(call, self.secret).text)
            limit = int(min(full, limit) * round.room * SAFETY)
        return StackSpotExchange(self, call, round, prompt.render(call, self.secret, round.correction, limit))

    def refuse(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        return refusal(self.name, status, headers, self.hide(body))

    def hide(self, data: bytes) -> bytes:
        """What the upstream says, without what callers and logs must not see."""
        for secret in (self.agent_id.encode(), self.secret):
            data = data.replace(secret, b"***")
        return data

    def admit(self, call: Call) -> tuple[str, ...]:
        if call.answers > 1:
            raise InvalidRequest("n: StackSpot gives one answer a request", param="n")
        if call.format is not None and call.format.schema is not None:
            check_schema(call.format.schema)
        enforced = ("max_tokens", "max_completion_tokens") if self.enforce_max_tokens else ()
        return tuple(name for name in call.unsupported if name not in enforced)


@dataclass(frozen=True, slots=True)
class StackSpotExchange:
    dialect: StackSpot
    call: Call
    round: Round
    prompt: prompt.Prompt

    @property
    def repeatable(self) -> bool:
        return not self.dialect.remembers

    @property
    def outgoing(self) -> Outgoing:
        body: dict[str, object] = {
            "streaming": True,  # its gateway hangs up on long answers that are not streamed
            "user_prompt": self.prompt.text,
            "stackspot_knowledge": False,
            "return_ks_in_response": False,
            "use_conversation": self.dialect.remembers,
        }
        if self.dialect.remembers:
            body["conversation_id"] = conversation_id(self.call, self.dialect.secret)
        written = bytes(memoryview(orjson.dumps(body)))  # without the room that orjson leaves: it is kept for long
        return Outgoing(f"/v1/agent/{quote(self.dialect.agent_id, safe='')}/chat", _HEADERS, written)

    def reader(self, sink: Answer) -> "StackSpotReader":
        return StackSpotReader(
            self._filters(sink),
            len(self.prompt.text),
            end_optional=self.dialect.end_marker == "optional",
            hide=self.dialect.hide,
        )

    def _filters(self, sink: Answer) -> Answer:
        """What the call needs between the agent's text and the caller's answer, put up from the caller's end."""
        call, dialect = self.call, self.dialect
        if call.format is not None:
            sink = JsonAnswer(sink, call.format)
        if call.offered and call.choice.mode == "required":
            sink = RequiredCall(sink, [tool.name for tool in call.offered])
        if call.max_tokens is not None and dialect.enforce_max_tokens:
            sink = Length(sink, call.max_tokens)
        if call.stop:
            sink = Stop(sink, call.stop)
        if call.offered:
            about_calls = isinstance(self.round.correction, ToolCallUnreadable)
            sink = ToolCalls(
                sink,
                self.prompt.markers,
                call.offered,
                seed=f"{call.id}/{self.round.number}",
                policy=replace(dialect.tools, stream_arguments=False) if about_calls else dialect.tools,
                parallel=call.parallel_calls,
                ask=self.repeatable and not (about_calls or self.round.last),
            )
        return sink


_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def conversation_id(call: Call, secret: bytes) -> str:
    """The id under which the agent remembers the call's conversation.

    With an owner it is a digest of both names: correlation ids are no secret, so one owner must not reach the
    conversation of another with them. The digest is keyed, since whoever could compute it could send it as a ULID
    once there are no owners any more.
    """
    conversation = call.conversation or call.id
    if not call.owner:
        return ulid(conversation)
    named = orjson.dumps([call.owner, conversation])
    return _ulid_of(hmac.digest(secret, named, "sha256")[:16])


def ulid(text: str) -> str:
    """``text`` itself when it is a ULID, else one derived from it."""
    if _ULID.fullmatch(text):
        return text
    return _ulid_of(hashlib.blake2b(text.encode(), digest_size=16).digest())


def _ulid_of(digest: bytes) -> str:
    number = int.from_bytes(digest)
    return "".join(_CROCKFORD[number >> 5 * place & 31] for place in range(25, -1, -1))
