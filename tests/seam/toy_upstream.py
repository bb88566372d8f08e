"""A toy dialect of upstreams: the prompt goes out as it is; lines of text come back, the last one being ``.``"""

from dataclasses import dataclass

from proxy.core.answer import Answer, Finish, Usage
from proxy.core.call import Call, UserText
from proxy.core.dialect import Headers, Outgoing, Round
from proxy.errors import ProxyError, UpstreamFailed, UpstreamTruncated


class ToyUpstream:
    def exchange(self, call: Call, round: Round) -> "ToyExchange":
        text = "\n".join(entry.text for entry in call.history if isinstance(entry, UserText))
        return ToyExchange(Outgoing("/say", {"content-type": "text/plain"}, text.encode()))

    def refuse(self, status: int, headers: Headers, body: bytes) -> ProxyError:
        return UpstreamFailed(f"the toy said {status}", status=status)

    def admit(self, call: Call) -> tuple[str, ...]:
        return call.unsupported


@dataclass(frozen=True)
class ToyExchange:
    outgoing: Outgoing
    repeatable: bool = True

    def reader(self, sink: Answer) -> "ToyReader":
        return ToyReader(sink)


class ToyReader:
    pending = False

    def __init__(self, sink: Answer) -> None:
        self.events = self.invalid = self.progress = 0
        self._sink = sink
        self._held = b""
        self.ended = False

    def receive_data(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self.events += 1
            if self.ended:
                return
            if line == b".":
                self.ended = True
                self._sink.finish(Finish("stop"))
            elif line:
                self.progress += len(line)
                self._sink.text(line.decode())

    def receive_eof(self) -> None:
        self.receive_error(UpstreamTruncated("the toy stopped in the middle"))

    def receive_error(self, error: ProxyError) -> None:
        if not self.ended:
            self.ended = True
            self._sink.fail(error)

    def usage(self) -> Usage:
        return Usage(1, self.events)
