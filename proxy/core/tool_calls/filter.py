"""The filter that finds calls in the text of an answer.

state       holds                                   until
TEXT        what could still become something else  a marker, a reasoning tag, a call in another format
REASONING   half a tag                              the closing tag
BLOCK       see ``block``                           the block has ended
TAIL        markdown after an end marker            other text
WRECK       the end of a block that is unreadable   its end marker
OTHER       nothing but an excerpt                  the end of the answer
OTHER_WHOLE the answer so far                       the end of the answer, or text that does not belong to a call
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.answer import Answer, Finish
from proxy.core.call import Tool, call_id
from proxy.core.tool_calls.block import CallBlock, Grammar, Outcome
from proxy.core.tool_calls.excerpt import Excerpt
from proxy.core.tool_calls.fences import FENCE, FENCE_BEGUN
from proxy.core.tool_calls.head import HeadReader
from proxy.core.tool_calls.markers import BRACKETS, Marker, MarkerPair, Markers, fold
from proxy.core.tool_calls.names import ToolNames
from proxy.core.tool_calls.other_formats import OtherFormats
from proxy.core.tool_calls.outbox import Outbox
from proxy.core.tool_calls.platform_arguments import PlatformArguments
from proxy.core.tool_calls.reasoning import Depth
from proxy.core.tool_calls.scanner import (
    HELD_BACK,
    INTEREST,
    LEAD,
    LEAD_LIMIT,
    OPENING,
    Found,
    Kind,
    Place,
    Scanner,
    plain_end,
)
from proxy.core.tool_calls.whole_answer import WholeAnswer
from proxy.errors import CallInDoubt, ProxyError, ToolCallUnreadable

STEP = 4096
MARKER_DRESS = frozenset("`*_~\"'>]:.")


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """``proxy.tools`` of the config; ``max_arguments`` is in characters."""

    keep_text: bool = False
    stream_arguments: bool = False
    max_arguments: int = 1024 * 1024
    show_reasoning: bool = False


class ToolCalls:
    """An Answer that finds calls in the text pushed into it and passes text and calls on to ``sink``.

    ``seed`` seeds the ids of the calls. Without ``parallel`` the answer finishes after the first call. ``ask``: a call
    in doubt may be asked about, in another request; otherwise calls in other formats are text and examples are calls.

    A block that cannot be read ends in ``fail`` with a ``ToolCallUnreadable``, a call in doubt with a ``CallInDoubt``.
    """

    __slots__ = (
        "_ask",
        "_blanks",
        "_block",
        "_depth",
        "_excerpt",
        "_fenced",
        "_fences",
        "_fresh",
        "_grammar",
        "_held",
        "_idle",
        "_in_fence",
        "_lead",
        "_made",
        "_outbox",
        "_over",
        "_pair",
        "_parallel",
        "_platform",
        "_policy",
        "_reasoned",
        "_scanner",
        "_seed",
        "_state",
        "_whole",
        "_wreck_ended",
        "_wrecked",
    )

    def __init__(
        self,
        sink: Answer,
        pair: MarkerPair,
        tools: Sequence[Tool],
        *,
        seed: str,
        policy: ToolPolicy,
        parallel: bool = True,
        ask: bool = True,
    ) -> None:
        names = ToolNames(tool.name for tool in tools)
        markers = Markers(Marker(pair.start), Marker(pair.end))
        self._scanner = Scanner(markers.start, OtherFormats(tool.name for tool in tools) if ask else None)
        self._pair = pair
        self._grammar = Grammar(markers, HeadReader(markers, names), policy.max_arguments)
        self._platform = PlatformArguments(tools)
        self._outbox = Outbox(sink, keep_text=policy.keep_text, parallel=parallel, limit=policy.max_arguments)
        self._policy = policy
        self._parallel = parallel
        self._ask = ask
        self._seed = seed
        self._made = 0
        self._state: Callable[[], bool] = self._in_text
        self._idle = False  # in TEXT, in the middle of a line, with nothing held
        self._over = False
        self._held = ""
        # Where the text stands, see ``Place``.
        self._blanks = 0
        self._in_fence = False
        self._fresh = True
        self._reasoned = False
        self._lead = ""  # the start marker of the block, with what belongs to it
        self._block = CallBlock(self._grammar)
        self._fences = 0  # code fences around the last block whose closing lines are still to come
        self._depth = Depth()
        self._excerpt = Excerpt()
        self._fenced = False  # the block is in a code fence
        self._wrecked: CallBlock | None = None  # the first block that could not be read
        self._wreck_ended = False  # by an end marker
        self._whole: WholeAnswer

    def text(self, piece: str) -> None:
        if self._idle and piece and piece[-1] not in HELD_BACK and INTEREST.search(piece) is None:
            self._outbox.text(piece)
            return
        if self._over:
            return
        self._receive(piece)
        self._idle = not self._held and self._blanks < 0 and self._state == self._in_text and not self._over

    def _receive(self, piece: str) -> None:
        for at in range(0, len(piece), STEP):  # what is held is looked at again: so it has to stay short
            self._held += piece[at : at + STEP]
            while self._held and self._state():
                pass

    def call(self, id: str, name: str) -> None:
        raise TypeError("an answer whose calls come apart from its text needs no markers")

    def arguments(self, piece: str) -> None:
        raise TypeError("an answer whose calls come apart from its text needs no markers")

    def reasoning(self, piece: str) -> None:
        self._outbox.reasoning(piece)

    def finish(self, end: Finish) -> None:
        if self._over:
            return
        cut_off = self._flush() and end.reason in ("length", "content_filter")
        if self._over:
            return
        self._over = True
        if self._ask and self._outbox.asked_about:
            self._outbox.fail(self._in_doubt())
        elif cut_off:
            self._outbox.finish(end)
        elif self._wrecked is not None:
            self._outbox.fail(self._unreadable(self._wrecked))
        elif self._state == self._in_other:
            self._outbox.fail(self._in_doubt())
        else:
            self._outbox.finish(Finish("tool_calls", end.usage, end.model) if self._outbox.calls else end)

    def fail(self, error: ProxyError) -> None:
        if self._over:
            return
        if self._state == self._in_text:
            self._release(self._held)
        self._over = True
        self._outbox.fail(error)

    # The states. Each works on what is held and says whether it got on.

    def _in_text(self, *, at_end: bool = False) -> bool:
        if not self._fresh and OPENING.search(self._held) is None:
            end = plain_end(self._held)
            if end:
                text, self._held = self._held[:end], self._held[end:]
                self._release(text)
            return False
        place = Place(self._blanks, self._in_fence, self._fresh and not self._outbox.calls)
        found = self._scanner.scan(fold(self._held), place, at_end=at_end)
        if isinstance(found, int):
            text, self._held = self._held[:found], self._held[found:]
            self._release(text)
            return False
        if found.kind is Kind.MARKER:
            self._open_block(found)
        elif found.kind is Kind.REASONING:
            self._release(self._held[: found.lead])
            self._held = self._held[found.end :]
            self._depth = Depth()
            self._state = self._in_reasoning
        elif found.kind is Kind.FENCE:
            self._release(self._held[: found.end])
            self._held = self._held[found.end :]
            self._in_fence = not self._in_fence
        elif found.kind is Kind.OTHER:
            self._release(self._held[: found.lead])
            self._held = self._held[found.at :]
            self._state = self._in_other
        else:
            fence = found.at if found.fenced else -1
            self._whole = WholeAnswer(self._grammar.markers.start, fence, self._policy.max_arguments)
            self._state = self._in_other_whole
        return True

    def _in_reasoning(self) -> bool:
        thought, rest, closed = self._depth.read(fold(self._held))
        if self._policy.show_reasoning and thought:
            self._outbox.reasoning(self._held[:thought])
        self._held = self._held[rest:]
        if closed:
            self._reasoned = True
            self._blanks = 0
            self._state = self._in_text
        return closed

    def _in_block(self) -> bool:
        block = self._block
        self._held = block.receive_text(self._held)
        if block.opened and block.outcome is not Outcome.COMPLETE and self._streams(block):
            self._pass_on(block)
        if block.outcome is Outcome.READING:
            return False
        self._end_block(block)
        return not self._over

    def _in_tail(self) -> bool:
        """After a call: its end marker, or what came in place of one."""
        folded = fold(self._held)
        end = self._grammar.markers.end.end_at(folded, int(folded.startswith(BRACKETS)))
        self._blanks = 0
        self._state = self._in_text
        if end >= 0:
            self._held = self._held[end:]
            self._state = self._in_dress
        return True

    def _in_dress(self) -> bool:
        """After an end marker: its markdown, and the closing lines of code fences."""
        held = self._held
        while True:
            if self._fences:
                held = held.lstrip()
            if fence := FENCE.match(held):
                if not self._fences:
                    break
                self._fences -= 1
                held = held[fence.end() :]
            elif not held or FENCE_BEGUN.match(held):
                self._held = held
                return False
            elif held[0] in MARKER_DRESS:
                held = held[1:]
            else:
                break
        self._held = held
        return self._go(self._in_text)

    def _in_wreck(self) -> bool:
        """The rest of a block that cannot be read, up to its end marker."""
        folded = fold(self._held)
        start, end = self._grammar.markers.end.find(folded)
        if start < 0:
            end = self._grammar.markers.end.hold_from(folded)
        self._excerpt.add(self._held[:end])
        self._held = self._held[end:]
        self._wreck_ended = self._wreck_ended or start >= 0
        return start >= 0 and self._go(self._in_dress)

    def _in_other(self) -> bool:
        self._excerpt.add(self._held)
        self._held = ""
        return False

    def _in_other_whole(self) -> bool:
        text, self._held = self._held, ""
        if not self._whole.add(text):
            self._read_again()
        return False

    def _read_again(self) -> None:
        """The answer is more than a call in another format, or less: it is read as any other."""
        self._fresh = False
        self._state = self._in_text
        self._receive(self._whole.text)

    # What they do.

    def _go(self, state: Callable[[], bool]) -> bool:
        self._state = state
        return True

    def _release(self, text: str) -> None:
        if not text:
            return
        if self._blanks >= 0 or "\n" in text:
            line = text.rpartition("\n")
            before = 0 if line[1] else self._blanks
            self._blanks = before + len(line[2]) if before >= 0 and not line[2].strip(" \t\r>") else -1
            if self._blanks > LEAD_LIMIT:
                self._blanks = -1
        if self._fresh and self._reasoned:
            text = text.lstrip()
        if text:
            self._fresh = False
            self._outbox.text(text)

    def _open_block(self, found: Found) -> None:
        self._release(self._held[: found.lead])
        self._lead = self._held[found.lead : found.end]
        self._held = self._held[found.end :]
        fences = int(found.fenced and not self._in_fence)
        self._block = CallBlock(self._grammar, fences=fences, own_line=found.own_line)
        self._fenced = found.fenced
        self._state = self._in_block

    def _end_block(self, block: CallBlock) -> None:
        if block.outcome is Outcome.PROSE:
            self._held = block.written + self._held
            self._release(self._lead)
            self._state = self._in_text
        elif block.outcome is Outcome.COMPLETE:
            self._give(block)
        elif block.outcome is Outcome.TOO_LONG:
            self._over = True
            self._outbox.fail(ToolCallUnreadable(f"the arguments of {block.name!r} are longer than the proxy allows"))
        else:
            self._wrecked = self._wrecked or block
            self._outbox.wait_for_repair()
            self._excerpt.add("\n" + self._lead.strip(LEAD) + block.written)
            self._fences = block.fences
            self._state = self._in_wreck

    def _give(self, block: CallBlock) -> None:
        if self._fenced:
            self._outbox.wait_for_question()
        if self._streams(block):
            self._pass_on(block)
        else:
            for made in block.calls:
                self._outbox.call(self._next_id(), made.name, self._platform.removed(made.name, made.arguments))
        self._fences = block.fences
        if not self._parallel and self._outbox.is_open:
            self._over = True
            self._outbox.finish(Finish("tool_calls"))
        elif block.continues:
            self._lead = ""
            self._block = CallBlock(self._grammar, fences=block.fences)
            self._state = self._in_block
        else:
            self._state = self._in_tail

    def _streams(self, block: CallBlock) -> bool:
        return self._policy.stream_arguments and not self._fenced and self._outbox.is_open and bool(block.name)

    def _pass_on(self, block: CallBlock) -> None:
        if not self._outbox.announced:
            self._outbox.open_call(self._next_id(), block.name)
        self._outbox.arguments(block.take())
        if block.outcome is Outcome.COMPLETE:
            self._outbox.close_call()

    def _next_id(self) -> str:
        self._made += 1
        return call_id(self._seed, self._made - 1)

    def _unreadable(self, block: CallBlock) -> ProxyError:
        which = f"a call of {block.name!r}" if block.name else "a call"
        reason = f"the model wrote {which} that cannot be read"
        written = "" if self._outbox.announced else self._excerpt.text.strip("\n")
        if self._ask and block.doubtful and not self._wreck_ended:
            return CallInDoubt(reason, written=written, fault=block.fault)
        return ToolCallUnreadable(reason, written=written, fault=block.fault, later=self._outbox.later())

    def _in_doubt(self) -> ProxyError:
        return CallInDoubt(
            "the model wrote what may be a call or an example of one",
            written=self._excerpt.text or self._outbox.examples(*self._pair),
            fault="it is not the block that was asked for, or it is followed by a question",
        )

    def _flush(self) -> bool:
        """Settles what is held at the end of the text. True if it ended inside a call."""
        cut_off = False
        while not self._over:
            if self._state == self._in_block:
                block, wrecked = self._block, self._wrecked
                self._held = block.receive_eof()
                self._end_block(block)
                cut_off = wrecked is None and self._wrecked is block and block.cut_off
            elif self._state == self._in_text:
                if not self._held or not self._in_text(at_end=True):
                    self._release(self._held)
                    self._held = ""
                    break
            elif self._state == self._in_tail:
                self._in_tail()
            elif self._state == self._in_dress:
                if not self._held or not self._in_dress():
                    break
            elif self._state == self._in_other_whole and not self._whole.is_a_call:
                self._read_again()
            else:
                return self._flush_other() or cut_off
        return cut_off

    def _flush_other(self) -> bool:
        if self._state == self._in_wreck:
            self._excerpt.add(self._held)
        elif self._state == self._in_reasoning and self._policy.show_reasoning and self._held:
            self._outbox.reasoning(self._held)
        elif self._state == self._in_other_whole:
            self._excerpt.add(self._whole.text)
            self._state = self._in_other
        return self._state == self._in_other
