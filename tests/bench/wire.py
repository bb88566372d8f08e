"""What the bench's processes agree on: tokens, how they look in either dialect, and where to find them.

Every token begins with ``MARK``, which stands nowhere else on the wire, so a token is found again by counting one
byte, however it travelled.
"""

from itertools import cycle, islice

import msgspec
import orjson

MARK = b"~"
WORDS = ("~ The", "~ proxy", "~ passes", "~ on", "~ what", "~ não", "~ it", "~ is", "~ told", "~,", "~ token", "~.\n")
TOKEN_EVERY_S = 0.02
MESSAGE_ID = "01JZ4M7Q2X9WB3TKD5R8VHNC6E"
LAST_CHUNK = b"\r\n0\r\n\r\n"


def words(tokens: int) -> str:
    """The text of a whole answer."""
    return "".join(islice(cycle(WORDS), tokens))


def paced(tokens: int) -> str:
    """The id of an agent that sends a token every 20 ms."""
    return f"paced-{tokens}"


def burst(tokens: int) -> str:
    """The id of an agent that sends as fast as it can."""
    return f"burst-{tokens}"


class Dialect(msgspec.Struct, frozen=True):
    """How a server's frames look: how one with a token begins, how a whole answer ends, where the text is."""

    frame: bytes
    ending: bytes
    pointer: tuple[str | int, ...]


STACKSPOT = Dialect(b'"message":"~', MESSAGE_ID.encode() + b'"}\n\n' + LAST_CHUNK, ("message",))
OPENAI = Dialect(b'"content":"~', b"data: [DONE]\n\n" + LAST_CHUNK, ("choices", 0, "delta", "content"))


class Target(msgspec.Struct, frozen=True):
    """A server and one agent behind it. ``pid`` is the process whose CPU counts; ``openai`` names its dialect."""

    name: str
    pid: int
    port: int
    agent: str
    openai: bool = False

    @property
    def dialect(self) -> Dialect:
        return OPENAI if self.openai else STACKSPOT

    @property
    def tokens(self) -> int:
        return int(self.agent.partition("-")[2])

    def request(self, correlation_id: str) -> bytes:
        """A request for one streamed answer, as it goes over the socket."""
        if self.openai:
            path = "/v1/chat/completions"
            message = {"role": "user", "content": "Tell me what the proxy does."}
            body = orjson.dumps({"model": self.agent, "stream": True, "messages": [message]})
        else:
            path = f"/v1/agent/{self.agent}/chat"
            body = orjson.dumps({"streaming": True, "user_prompt": "Tell me what the proxy does."})
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"accept: text/event-stream\r\ncorrelation-id: {correlation_id}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
