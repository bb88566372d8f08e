"""What the bench's processes agree on: tokens, how they look in either dialect, and where to find them.

Every token begins with ``MARK``, which stands nowhere else on the wire, so a token is found again by counting one
byte, however it travelled.
"""

from itertools import cycle, islice

import msgspec

from tests.bench.bodies import openai_body, stackspot_body

MARK = b"~"
WORDS = ("~ The", "~ proxy", "~ passes", "~ on", "~ what", "~ não", "~ it", "~ is", "~ told", "~,", "~ token", "~.\n")
TOKEN_EVERY_S = 0.02
SLOW_TOKEN_EVERY_S = 0.5
MESSAGE_ID = "01JZ4M7Q2X9WB3TKD5R8VHNC6E"
LAST_CHUNK = b"\r\n0\r\n\r\n"

# How an agent answers, by the first part of its id; the second is how many tokens.
PACED, SLOW, BURST, STAMP = "paced", "slow", "burst", "stamp"
"""A token every 20 ms; one every half a second; all at once; all at once, and the first tells when the request came."""


def words(tokens: int) -> str:
    """The text of a whole answer."""
    return "".join(islice(cycle(WORDS), tokens))


class Dialect(msgspec.Struct, frozen=True):
    """How a server's frames look: what one with text has in it, how a whole answer ends, where the text is."""

    frame: bytes
    ending: bytes
    pointer: tuple[str, ...]


STACKSPOT = Dialect(b'"message":"', MESSAGE_ID.encode() + b'"}\n\n' + LAST_CHUNK, ("message",))
OPENAI = Dialect(b'"delta":{"content":"', b"data: [DONE]\n\n" + LAST_CHUNK, ("choices", "delta", "content"))


class Target(msgspec.Struct, frozen=True):
    """A server and one agent behind it. ``pid`` is the process whose CPU counts, with its children; ``openai`` names
    its dialect, in which the agent's name is told behind ``prefix``; ``headers`` are lines that its requests need,
    ``kilobytes`` is the size of their conversation."""

    name: str
    pid: int
    port: int
    agent: str
    openai: bool = False
    prefix: str = ""
    headers: str = ""
    kilobytes: int = 0

    @property
    def dialect(self) -> Dialect:
        return OPENAI if self.openai else STACKSPOT

    @property
    def tokens(self) -> int:
        return int(self.agent.partition("-")[2])

    def request(self, correlation_id: str) -> bytes:
        """A request for one streamed answer, as it goes over the socket."""
        if self.openai:
            path, body = "/v1/chat/completions", openai_body(self.prefix + self.agent, self.kilobytes)
        else:
            path, body = f"/v1/agent/{self.agent}/chat", stackspot_body(self.kilobytes)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"accept: text/event-stream\r\n{self.headers}correlation-id: {correlation_id}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
