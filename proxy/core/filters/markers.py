"""Tool calls out of text. With ``block`` this is the marker machine: TEXT -> (a block) -> TAIL -> TEXT.

The same events come out however the text was cut, and the work is linear in its length.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.answer import Answer, Finish
from proxy.core.call import Tool, call_id
from proxy.core.filters.block import FENCE, FENCE_BEGUN, CallBlock, MarkerPair, Outcome
from proxy.core.filters.holdback import find_start, hold_from
from proxy.errors import ProxyError, ToolCallUnreadable

PLATFORM_ARGUMENTS = ("step_id", "tool_execution_id")
"""StackSpot adds these to the arguments at times; they go unless the tool's schema has them."""


WRECK_LIMIT = 8192
"""Of a call that cannot be read, the model is shown so many characters at most."""


STEP = 4096


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """``proxy.tools`` of the config; ``max_arguments`` is in characters."""

    keep_text: bool = False
    stream_arguments: bool = False
    max_arguments: int = 1024 * 1024


class Markers:
    """An Answer that finds calls in the text pushed into it and passes text and calls on to ``sink``.

    ``seed`` seeds the ids of the calls. A call that nobody can read ends in ``fail`` with a
    ``ToolCallUnreadable``; its block never comes out as text. Without ``parallel`` the answer finishes
    behind the first call.
    """

    __slots__ = (
        "_announced",
        "_block",
        "_calls",
        "_fences",
        "_first",
        "_held",
        "_idle",
        "_lead",
        "_line_start",
        "_over",
        "_pair",
        "_parallel",
        "_policy",
        "_seed",
        "_sink",
        "_state",
        "_tools",
        "_wreck",
        "_wreck_room",
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
    ) -> None:
        self._sink = sink
        self._pair = pair
        self._first = pair.start[0]
        self._tools = {tool.name: tool for tool in tools}
        self._seed = seed
        self._policy = policy
        self._parallel = parallel
        self._calls = 0
        self._state: Callable[[], bool] = self._in_text
        self._idle = True  # in TEXT with nothing held
        self._line_start = True
        self._held = ""
        self._lead = ""  # the start marker being followed up, with the white space or fence before it
        self._fences = 0  # code fences around the last call whose closing line is still to come
        self._block = CallBlock(pair, policy.max_arguments)
        self._announced = False
        self._wreck: list[str] = []  # a block that cannot be read, and what was written behind it
        self._wreck_room = WRECK_LIMIT
        self._over = False

    def text(self, piece: str) -> None:
        if self._idle and piece and self._first not in piece and "`" not in piece and not piece[-1].isspace():
            self._release(piece)
            return
        if self._over:
            return
        for at in range(0, len(piece), STEP):  # what is held is looked at again: so it has to stay short
            self._held += piece[at : at + STEP]
            while self._held and self._state():
                pass
        self._idle = not self._held and self._state == self._in_text and not self._over

    def call(self, id: str, name: str) -> None:
        raise TypeError("an answer whose calls come apart from its text needs no markers")

    def arguments(self, piece: str) -> None:
        raise TypeError("an answer whose calls come apart from its text needs no markers")

    def finish(self, end: Finish) -> None:
        if self._over:
            return
        cut_off = self._flush()
        self._over = True
        if self._wreck and not (cut_off and end.reason == "length"):
            self._sink.fail(self._unreadable())
        elif self._calls and not self._wreck:
            self._sink.finish(Finish("tool_calls", end.usage, end.model))
        else:
            self._sink.finish(end)

    def fail(self, error: ProxyError) -> None:
        if self._over:
            return
        if self._state == self._in_text:
            self._release(self._held)
        self._over = True
        self._sink.fail(error)

    # The states.

    def _in_text(self) -> bool:
        found = find_start(self._held, self._pair.start, self._line_start)
        if found is None:
            keep = hold_from(self._held, self._pair.start, self._line_start)
            text, self._held = self._held[:keep], self._held[keep:]
            self._release(text)
            return False
        behind = found.at + len(self._pair.start)
        self._release(self._held[: found.lead])
        self._lead = self._held[found.lead : behind]
        self._held = self._held[behind:]
        self._block = CallBlock(self._pair, self._policy.max_arguments, fences=int(found.fenced))
        self._announced = False
        self._state = self._in_block
        return True

    def _in_block(self) -> bool:
        block = self._block
        self._held = block.receive_text(self._held)
        if block.opened and self._policy.stream_arguments:
            self._pass_on(block)
        if block.outcome is Outcome.READING:
            return False
        self._end_block(block)
        return not self._over

    def _in_tail(self) -> bool:
        """Behind a call: its end marker, or what came in place of one."""
        self._line_start = True
        self._state = self._in_text
        if self._held.startswith(self._pair.end):
            self._held = self._held[len(self._pair.end) :]
            if self._fences:
                self._state = self._in_closing_fence
        return True

    def _in_closing_fence(self) -> bool:
        self._held = self._held.lstrip()
        if fence := FENCE.match(self._held):
            self._held = self._held[fence.end() :]
        elif not self._held or FENCE_BEGUN.fullmatch(self._held):
            return False
        self._state = self._in_text
        return True

    def _in_wreck(self) -> bool:
        self._wreck.append(self._held[: self._wreck_room])
        self._wreck_room -= len(self._wreck[-1])
        self._held = ""
        return False

    # What they do.

    def _release(self, text: str) -> None:
        if text:
            self._line_start = text[-1] == "\n"
            if not self._calls or self._policy.keep_text:
                self._sink.text(text)

    def _end_block(self, block: CallBlock) -> None:
        if block.outcome is Outcome.PROSE:
            self._release(self._lead)
            self._held = block.written + self._held
            self._state = self._in_text
        elif block.outcome is Outcome.COMPLETE:
            self._pass_on(block)
            self._calls += 1
            self._fences = block.fences
            self._state = self._in_tail
            if not self._parallel:
                self._over = True
                self._sink.finish(Finish("tool_calls"))
        elif block.outcome is Outcome.TOO_LONG:
            self._over = True
            self._sink.fail(ToolCallUnreadable(f"the arguments of {block.name!r} are longer than the proxy allows"))
        else:
            self._held = self._lead.strip("` \t\r\n") + block.written + self._held
            self._state = self._in_wreck
            self._in_wreck()

    def _pass_on(self, block: CallBlock) -> None:
        if not self._announced:
            self._announced = True
            self._sink.call(call_id(self._seed, self._calls), self._fit(block.name))
        piece = block.take()
        if not self._policy.stream_arguments:
            piece = self._without_platform_arguments(block.name, piece)
        if piece:
            self._sink.arguments(piece)

    def _unreadable(self) -> ToolCallUnreadable:
        name, fault = self._block.name, self._block.fault
        written, end, _ = "".join(self._wreck).partition(self._pair.end)
        return ToolCallUnreadable(
            f"the model wrote a call of {name!r} that cannot be read",
            written="" if self._announced else written + end,
            fault=fault,
        )

    def _flush(self) -> bool:
        """Settles what is held at the end of the text. True if it ended inside a call."""
        while self._state == self._in_block:
            block = self._block
            self._held = block.receive_eof(lambda name: self._fit(name) in self._tools)
            self._end_block(block)
            if self._wreck:
                return True
            while self._held and self._state():
                pass
        if self._state in (self._in_text, self._in_tail):
            self._release(self._held)
        return False

    def _fit(self, name: str) -> str:
        """The name of the only tool that ``name`` can mean, or ``name`` itself: agents recover from that."""
        if name in self._tools:
            return name
        plain = name.lower().removeprefix("functions.")
        fitting = [tool for tool in self._tools if tool.lower() == plain]
        return fitting[0] if len(fitting) == 1 else name

    def _without_platform_arguments(self, name: str, arguments: str) -> str:
        if not any(f'"{key}"' in arguments for key in PLATFORM_ARGUMENTS):
            return arguments
        tool = self._tools.get(self._fit(name))
        properties = tool.parameters.get("properties") if tool else None
        known = properties if isinstance(properties, dict) else {}
        value = json.loads(arguments)  # unlike orjson, it keeps numbers of any size and half emojis as they are
        kept = {key: item for key, item in value.items() if key in known or key not in PLATFORM_ARGUMENTS}
        return arguments if len(kept) == len(value) else json.dumps(kept, ensure_ascii=False)
