"""An answer that is kept, to be given again: what it told, free of any form, or its bytes where it was relayed."""

from typing import cast

import msgspec

from proxy.core.answer import Answer, Finish, FinishReason, Rendering, Usage, Verbatim

WHOLE: frozenset[FinishReason] = frozenset({"stop", "tool_calls"})
"""The ends of answers that are kept: others were cut off, by a limit or by a censor."""


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A text, or a call with its ``id``, its ``name`` and its arguments as the text. ``reasoning``: the text is what
    the model thought."""

    text: str
    id: str | None = None
    name: str = ""
    reasoning: bool = False


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A whole answer. What was relayed has nothing ``told`` but ``raw`` bytes, with ``chunks`` events in them; they
    are as good for the form only in which they came."""

    reason: FinishReason
    usage: Usage
    model: str | None
    upstream: str
    ignored: str
    told: tuple[Told, ...] = ()
    raw: bytes = b""
    chunks: int = 0

    @property
    def relayed(self) -> bool:
        return bool(self.raw)

    def tell(self, answer: Answer, *, stream: bool) -> None:
        """All of it but its end."""
        if self.raw and stream:
            cast(Verbatim, answer).frames(self.raw, self.chunks)
        elif self.raw:
            cast(Verbatim, answer).body(self.raw)
        for said in self.told:
            if said.reasoning:
                answer.reasoning(said.text)
            elif said.id is None:
                answer.text(said.text)
            else:
                answer.call(said.id, said.name)
                if said.text:
                    answer.arguments(said.text)


class Tape:
    """A rendering that also keeps what it is told, up to ``limit`` bytes."""

    def __init__(self, rendering: Rendering, limit: int) -> None:
        self.take = rendering.take
        self.finish = rendering.finish
        self.fail = rendering.fail
        self._rendering = rendering
        self._room = limit
        self._told: list[tuple[str | None, str, list[str], bool]] = []
        self._raw: list[bytes] = []
        self._count = 0

    @property
    def chunks(self) -> int:
        return self._rendering.chunks

    def text(self, piece: str) -> None:
        self._add(piece, reasoning=False)
        self._rendering.text(piece)

    def reasoning(self, piece: str) -> None:
        self._add(piece, reasoning=True)
        self._rendering.reasoning(piece)

    def call(self, id: str, name: str) -> None:
        if self._fits(id, name):
            self._told.append((id, name, [], False))
        self._rendering.call(id, name)

    def arguments(self, piece: str) -> None:
        if self._fits(piece):
            self._told[-1][2].append(piece)
        self._rendering.arguments(piece)

    def frames(self, data: bytes, count: int) -> None:
        if self._fits(data):
            self._raw.append(data)
            self._count += count
        cast(Verbatim, self._rendering).frames(data, count)

    def body(self, data: bytes) -> None:
        if self._fits(data):
            self._raw.append(data)
        cast(Verbatim, self._rendering).body(data)

    def kept(self, end: Finish, upstream: str, ignored: str) -> Kept | None:
        """The answer, if all of it was told and is there."""
        if self._room < 0 or end.reason not in WHOLE or end.usage is None:
            return None
        told = tuple(Told("".join(pieces), call_id, name, thought) for call_id, name, pieces, thought in self._told)
        return Kept(end.reason, end.usage, end.model, upstream, ignored, told, b"".join(self._raw), self._count)

    def _add(self, piece: str, *, reasoning: bool) -> None:
        if self._fits(piece):
            last = self._told[-1] if self._told else None
            if last is None or last[0] is not None or last[3] is not reasoning:
                self._told.append((None, "", [], reasoning))
            self._told[-1][2].append(piece)

    def _fits(self, *pieces: str | bytes) -> bool:
        """A piece is taken for as many bytes as it has characters; what is kept in the end is measured again."""
        if self._room >= 0:
            self._room -= sum(map(len, pieces))
            if self._room < 0:
                self._told.clear()
                self._raw.clear()
        return self._room >= 0
