"""One caller's request over the upstream rounds that it takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, cast

from proxy.core.answer import Finish, Rendering, Served, Usage, Verbatim
from proxy.core.call import Call
from proxy.core.dialect import Exchange, Outgoing, Reader, Round, Upstream
from proxy.core.kept import Kept
from proxy.core.tool_calls.equality import fingerprint
from proxy.errors import CallInDoubt, ContextTooLong, InvalidAnswer, ProxyError, ToolCallUnreadable, UpstreamBroken

Outcome = Literal["parsed", "repaired", "rescued"]

MAX_ROUNDS = 4
COLLECTED = 16 * 1024 * 1024
"""Characters of an answer that is not streamed, at most: all of it is held."""
MAX_CALLS = 1000
SMALLER = 0.7  # the part of a prompt that is tried when the upstream does not say what would have fitted


@dataclass(slots=True)
class DetectedCall:
    """A tool call that went to the caller. ``size`` is that of its arguments, in characters. ``outcome``: it was read
    at once, after a repair, or after the model was asked whether it meant to call."""

    name: str
    outcome: Outcome
    size: int = 0


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """What follows a round: ``out`` goes to the caller first; then ``again`` is sent upstream, or ``error``
    ends the answer, or with neither it is complete. ``mends`` is what was wrong when there is another round."""

    out: bytes
    again: Outgoing | None = None
    error: ProxyError | None = None
    mends: ProxyError | None = None


class Turn:
    """Drives one request: bytes from the upstream in, bytes for the caller out.

    ``begin`` gives the first request to send. While it is answered, ``receive_data`` gives what goes to the
    caller. Once ``round_over`` is true or the upstream has ended, ``receive_eof`` says what follows. Whatever
    else ends the answer is told by ``fail``. ``committed`` says that something went out: from then on no other
    upstream may be tried.
    """

    # Slots here, and in all that a token passes: with a hundred streams open an object is cold when its next token
    # comes, and one without a dictionary is fetched in half the time.
    __slots__ = (
        "_correction",
        "_exchange",
        "_given",
        "_known",
        "_reader",
        "_readers",
        "_render",
        "_rendering",
        "_room",
        "_round",
        "_served",
        "_tried",
        "_upstream",
        "call",
        "calls",
        "ceiling",
        "committed",
        "finish",
        "invalid_calls",
        "pending",
        "round_over",
        "rounds",
    )

    def __init__(self, call: Call, render: Callable[[Call], Rendering], ceiling: int = MAX_ROUNDS) -> None:
        self.call = call
        self.ceiling = ceiling
        """How many rounds there may be; may be changed on the way."""
        self.committed = False
        self.pending = False
        """There is more to be read of what was received: with ``receive_data(b"")``, when others had their turn."""
        self.round_over = False
        """The answer is settled; reading on would bring nothing."""
        self.rounds = 0
        self.calls: list[DetectedCall] = []
        self.invalid_calls = 0
        self.finish: Finish | None = None
        self._render = render
        self._rendering = render(call)
        self._upstream: Upstream | None = None
        self._served: Callable[[], Served] | None = None
        self._exchange: Exchange
        self._readers: list[Reader] = []
        self._reader: Reader
        self._known: set[str] = set()  # fingerprints of the calls that went out
        self._round = _Round(self._rendering, self.calls, self._known)
        self._tried: set[type[ProxyError]] = set()
        self._correction: InvalidAnswer | None = None
        self._room: float | None = None
        self._given = Usage(0, 0)

    def repeats(self, error: ProxyError) -> bool:
        """The request may be sent again after ``error``: nothing was generated, the upstream does not remember it, and
        nothing went out, or what failed is a repair, which is then asked for again."""
        repeatable = self._untold or (self._correction is not None and self._exchange.repeatable)
        return error.repeatable and repeatable and not self.round_events

    def moves_on(self, error: ProxyError) -> bool:
        """The request may be sent to another model after ``error``."""
        return error.elsewhere and self._untold

    @property
    def _untold(self) -> bool:
        return not self.committed and (self._upstream is None or self._exchange.repeatable)

    @property
    def rendered(self) -> bool:
        """Something was told to the caller's rendering, sent or not: it cannot be told again."""
        return self._round.rendered

    @property
    def upstream_ended(self) -> bool:
        """The upstream itself has ended its answer; otherwise it is still at it, for nobody."""
        return self._reader.ended

    @property
    def chunks(self) -> int:
        """Messages made for the caller so far."""
        return self._rendering.chunks

    @property
    def events(self) -> int:
        """Events read from upstreams so far."""
        return sum(reader.events for reader in self._readers)

    @property
    def round_events(self) -> int:
        """Those of the round under way."""
        return self._reader.events if self._readers else 0

    @property
    def progress(self) -> int:
        """Grows with everything upstreams send that carries the answer on."""
        return sum(reader.progress for reader in self._readers)

    @property
    def invalid_events(self) -> int:
        return sum(reader.invalid for reader in self._readers)

    @property
    def usage(self) -> Usage:
        """Tokens of all rounds so far that were answered at all."""
        if self.finish is not None and self.finish.usage is not None:
            return self.finish.usage  # they stay what they are
        return sum((reader.usage() for reader in self._readers if reader.events), self._given)

    def begin(self, upstream: Upstream, served: Callable[[], Served] | None = None) -> Outgoing:
        """The request to send to ``upstream``: the first, or another try after one that failed. A repair, or a
        shrunk prompt, that failed is sent again; nothing else is kept of the rounds before. Not once the turn is
        committed. ``served`` is asked at the end, for what only the server knows."""
        if self._upstream is not None and not self._resumes(upstream):
            if self.committed and self._correction is not None:
                raise self._correction  # this upstream speaks another dialect, and a part of the answer went out
            self._rendering = self._render(self.call)
            self.calls.clear()
            self._known.clear()
            self._round = _Round(self._rendering, self.calls, self._known)
            self._tried.clear()
            self._correction = self._room = None
        self._upstream = upstream
        self._served = served
        return self._open_round()

    def replay(self, kept: Kept, served: Callable[[], Served] | None = None) -> bytes:
        """What goes to the caller where nobody is asked: an answer that was kept. ``served`` is as in ``begin``."""
        self._given, self._served = kept.usage, served
        kept.tell(self._round, stream=self.call.stream)
        self._round.finish(Finish(kept.reason, None, kept.model))
        self._finish()
        return self._take()

    def receive_data(self, data: bytes) -> bytes:
        """What goes to the caller now that the upstream has sent ``data``; often nothing."""
        if not self.round_over:
            reader = self._reader
            reader.receive_data(data)
            self.pending = reader.pending
            if self._round.over:
                self._finish()
        out = self._rendering.take()
        if out:
            self.committed = True
        return out

    def receive_eof(self) -> RoundEnd:
        """The upstream has ended cleanly, or its round is over."""
        if not self.round_over:
            self._reader.receive_eof()
            self._finish()
        return self._end_round()

    def refused(self, error: ProxyError) -> Outgoing | None:
        """The upstream refused the request: another one to send instead, if one could do better."""
        self._readers.pop()  # nothing was generated, so nothing is counted
        return self._again(error)

    def fail(self, error: ProxyError, *, opened: bool) -> bytes:
        """Ends the answer with an error: what is still due to the caller, and behind it the error if something
        went out before or the caller's response is ``opened``. Without either nothing has to be said here: the
        error can become the response itself."""
        if self._readers and not self._round.over:
            self._reader.receive_error(error)
            self._finish()
        out = self._take()
        if self.committed or opened:
            self._rendering.fail(error)
            out += self._take()
        return out

    def _resumes(self, upstream: Upstream) -> bool:
        """The round that failed goes on with what an earlier one brought, which ``upstream`` can take up: it speaks
        the same dialect."""
        follows = self._correction is not None or self._room is not None
        return follows and not self.round_events and isinstance(upstream, type(self._upstream))

    def _open_round(self) -> Outgoing:
        assert self._upstream is not None, "begin() comes first"
        last = self.rounds + 1 >= self.ceiling
        self._exchange = self._upstream.exchange(self.call, Round(self.rounds, self._correction, self._room, last))
        self.rounds += 1
        self.round_over = self.pending = False
        self._round = _Round(
            self._rendering,
            self.calls,
            self._known,
            correction=self._correction,
            rendered=self._round.rendered,
            room=inf if self.call.stream else COLLECTED,
        )
        self._reader = self._exchange.reader(self._round)
        self._readers.append(self._reader)
        return self._exchange.outgoing

    def _finish(self) -> None:
        """Tells the caller that the answer is complete, if its round ended so."""
        self.round_over = True
        end = self._round.end
        if end is not None:
            served = self._served() if self._served else None
            self.finish = Finish(end.reason, self.usage, end.model, served)
            self._rendering.finish(self.finish)

    def _end_round(self) -> RoundEnd:
        out, error = self._take(), self._round.error
        if error is None:
            return RoundEnd(out)
        again = self._again(error)
        if again is not None:
            return RoundEnd(out, again=again, mends=error)
        if isinstance(error, ToolCallUnreadable):
            self.invalid_calls += 1
        return RoundEnd(out, error=error)

    def _again(self, error: ProxyError) -> Outgoing | None:
        """Another round, once for each kind of failure that one can mend."""
        kind = ToolCallUnreadable if isinstance(error, ToolCallUnreadable) else type(error)
        if kind in self._tried or self.rounds >= self.ceiling or not self._exchange.repeatable:
            return None
        self._tried.add(kind)
        if isinstance(error, InvalidAnswer) and error.written:
            self._correction = error
            return self._open_round()
        if isinstance(error, ContextTooLong) and not self.rendered:
            self._room = error.room or SMALLER
            return self._open_round()
        return None

    def _take(self) -> bytes:
        out = self._rendering.take()
        if out:
            self.committed = True
        return out


class _Round:
    """The Answer after a round's filters: notes how the round ended and passes the rest on. It has no reference to its
    turn, so that a request can be freed as soon as it is over.

    ``known`` are the fingerprints of the calls that went to the caller, ``room`` is a budget of characters. After a
    ``correction`` about calls, a call that went out in an earlier round does not go out again, and text goes out only
    where the model was asked for it.
    """

    __slots__ = (
        "_before",
        "_calls",
        "_correction",
        "_known",
        "_known_before",
        "_open",
        "_outcome",
        "_pieces",
        "_rendering",
        "_room",
        "_texts_before",
        "_texts_wanted",
        "end",
        "error",
        "over",
        "read",
        "rendered",
    )

    def __init__(
        self,
        rendering: Rendering,
        calls: list[DetectedCall],
        known: set[str],
        correction: InvalidAnswer | None = None,
        *,
        rendered: bool = False,
        room: float = inf,
    ) -> None:
        self.over = False
        self.end: Finish | None = None
        self.error: ProxyError | None = None
        self.rendered = rendered
        self._rendering = rendering
        self._calls = calls
        self._known = known
        self._correction = correction if isinstance(correction, ToolCallUnreadable) else None
        self._known_before = frozenset(known) if self._correction is not None else frozenset()
        in_doubt = isinstance(correction, CallInDoubt)
        self._outcome: Outcome = "rescued" if in_doubt else "repaired" if self._correction is not None else "parsed"
        self._texts_wanted = in_doubt and not calls
        self._texts_before = rendered
        self._room = room
        self.read = 0
        """Calls that came in this round, those that went out before included."""
        self._open: tuple[str, str] | None = None  # the id and the name of the call that arguments arrive for
        self._pieces: list[str] = []

    def text(self, piece: str) -> None:
        if self.over or (self._correction is not None and not (piece := self._after_correction(piece))):
            return
        self.rendered = True
        self._rendering.text(piece)
        self._room -= len(piece)
        if self._room < 0:
            self._too_large()

    def _after_correction(self, piece: str) -> str:
        """What goes out of a text after a correction: a paragraph of its own, where the model was asked for words."""
        if not self._texts_wanted:
            return ""
        if self._texts_before:
            self._texts_before = False
            return "\n\n" + piece.lstrip()
        return piece

    def reasoning(self, piece: str) -> None:
        if not self.over:
            self.rendered = True
            self._rendering.reasoning(piece)
            self._spend(len(piece))

    def call(self, id: str, name: str) -> None:
        self._close_call()
        if self.over:
            return
        self.read += 1
        self._open = (id, name)
        if self._correction is None:
            self._open_call(id, name, self._outcome)

    def arguments(self, piece: str) -> None:
        if self.over:
            return
        if self._correction is not None:
            self._pieces.append(piece)
            return
        if self._calls[-1].size <= COLLECTED:
            self._pieces.append(piece)
        self._pass_arguments(piece)

    def frames(self, data: bytes, count: int) -> None:
        self.rendered = True
        cast(Verbatim, self._rendering).frames(data, count)

    def body(self, data: bytes) -> None:
        cast(Verbatim, self._rendering).body(data)

    def finish(self, end: Finish) -> None:
        self._close_call()
        if self.over:
            return
        correction = self._correction
        if correction is not None and not self.read and not isinstance(correction, CallInDoubt):
            self.fail(ToolCallUnreadable(correction.summary, fault=correction.fault))
            return
        if correction is not None:
            self._send_later(correction)
            if self._calls and end.reason == "stop":
                end = replace(end, reason="tool_calls")
        self.over = True
        self.end = end

    def fail(self, error: ProxyError) -> None:
        self._close_call()
        if not self.over:
            self.over = True
            self.error = error

    def _close_call(self) -> None:
        """The call that is open is whole."""
        if self._open is None or self.over:
            return
        (call_id, name), self._open = self._open, None
        arguments = "".join(self._pieces)
        self._pieces.clear()
        mark = fingerprint(name, arguments)
        if self._correction is not None and mark not in self._known_before:
            self._open_call(call_id, name, self._outcome)
            self._pass_arguments(arguments)
        self._known.add(mark)

    def _send_later(self, correction: ToolCallUnreadable) -> None:
        """The calls that were read after the one that is now repaired."""
        for later in correction.later:
            mark = fingerprint(later.name, later.arguments)
            if mark not in self._known and not self.over:
                self._known.add(mark)
                self._open_call(later.id, later.name, "parsed")
                self._pass_arguments(later.arguments)

    def _open_call(self, id: str, name: str, outcome: Outcome) -> None:
        if len(self._calls) == MAX_CALLS:
            self.over = True
            self.error = UpstreamBroken(f"the answer has more than {MAX_CALLS} calls")
            return
        self.rendered = True
        self._calls.append(DetectedCall(name, outcome))
        self._rendering.call(id, name)

    def _pass_arguments(self, piece: str) -> None:
        if piece and not self.over:
            self._calls[-1].size += len(piece)
            self._rendering.arguments(piece)
            self._spend(len(piece))

    def _spend(self, characters: int) -> None:
        self._room -= characters
        if self._room < 0:
            self._too_large()

    def _too_large(self) -> None:
        if not self.over:
            self.over = True
            self.error = UpstreamBroken("the answer is too large")
