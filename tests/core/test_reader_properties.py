"""Readers of upstreams: whatever comes, however it is cut, they tell one thing and never break."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Answer
from proxy.core.dialect import Reader
from proxy.core.upstreams.openai_errors import refusal as openai_refusal
from proxy.core.upstreams.openai_stream import BodyRelay, ChunkReader, FrameRelay
from proxy.core.upstreams.stackspot_errors import refusal as stackspot_refusal
from proxy.core.upstreams.stackspot_stream import StackSpotReader
from tests.support.answers import Notes

pytestmark = pytest.mark.slow

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with some of these fields, now and then of another kind than they should be."""
    some = {name: seldom(value) for name, value in fields.items()}
    return seldom(st.fixed_dictionaries({}, optional=some))


def seldom(usual: st.SearchStrategy[Any], other: st.SearchStrategy[Any] = ANY) -> st.SearchStrategy[Any]:
    """One time in eight something else."""
    return st.integers(0, 7).flatmap(lambda dice: usual if dice else other)


FUNCTION = objects(name=st.sampled_from(["go", ""]), arguments=st.sampled_from(["{}", '{"a":', ""]))
CALL = objects(index=st.integers(0, 2), id=st.just("c1"), function=FUNCTION)
DELTA = objects(content=st.sampled_from(["Hi", ""]), role=st.just("assistant"), tool_calls=st.lists(CALL, max_size=3))
CHOICE = objects(index=st.integers(0, 1), delta=DELTA, finish_reason=st.sampled_from(["stop", "tool_calls", None]))
USAGE = objects(prompt_tokens=st.integers(-5, 5), completion_tokens=st.integers(-5, 5), prompt_tokens_details=ANY)
CHUNK = objects(model=st.just("m"), choices=st.lists(CHOICE, max_size=2), usage=USAGE, error=ANY)
EVENT = objects(
    message=st.sampled_from(["Hi", ""]),
    stop_reason=st.sampled_from(["stop", "length", "error", ""]),
    tokens=objects(input=ANY, output=ANY, user=ANY),
    message_id=ANY,
    error=ANY,
    code=ANY,
    type=st.sampled_from(["error", "x"]),
    choices=st.lists(CHOICE, max_size=2),
    usage=USAGE,
)
NOISE = st.sampled_from([b"[DONE]", b": hi", b"event: error", b"{", b"\xff", b"", b"null", b'"x"'])
READERS: dict[str, tuple[Callable[[Notes], Reader], st.SearchStrategy[Any]]] = {
    "StackSpot": (lambda notes: StackSpotReader(notes, 9), EVENT),
    "StackSpot, no end marker": (lambda notes: StackSpotReader(notes, 9, end_optional=True), EVENT),
    "OpenAI, collected": (lambda notes: ChunkReader(notes, "m", 9), CHUNK),
    "OpenAI, relayed": (lambda notes: FrameRelay(Relayed(notes), "m", 9, drop_usage=True), CHUNK),
    "OpenAI, a body": (lambda notes: BodyRelay(Relayed(notes), "m", 9), CHUNK),
}


class Relayed(Notes):
    """Notes of one who is told in its own wire format."""

    def __init__(self, notes: Answer) -> None:
        super().__init__()
        self._notes = notes
        self.finish = notes.finish  # type: ignore[method-assign]
        self.fail = notes.fail  # type: ignore[method-assign]

    def frames(self, data: bytes, count: int) -> None:
        self._notes.text(data.decode(errors="replace"))

    def body(self, data: bytes) -> None:
        self._notes.text(data.decode(errors="replace"))


def told(make: Callable[[Notes], Reader], pieces: Sequence[bytes]) -> object:
    notes = Notes()
    reader = make(notes)
    for piece in pieces:
        reader.receive_data(piece)
    reader.receive_eof()
    assert (notes.finished is None) != (notes.error is None), "one end"
    usage = reader.usage()
    assert min(usage.prompt, usage.completion, usage.cached, usage.reasoning) >= 0
    return notes.told


@pytest.mark.parametrize("case", READERS)
@given(st.data())
def test_whatever_comes(case: str, data: st.DataObject) -> None:
    make, event = READERS[case]
    frames = data.draw(st.lists(seldom(event.map(orjson.dumps), NOISE), max_size=6))
    wire = frames[0] if case == "OpenAI, a body" and frames else b"".join(b"data: " + one + b"\n\n" for one in frames)
    places = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *places, len(wire)])]
    assert told(make, [wire]) == told(make, pieces)


@pytest.mark.parametrize("refusal", [openai_refusal, stackspot_refusal], ids=["OpenAI", "StackSpot"])
@given(
    st.integers(201, 999),
    st.binary(max_size=200) | ANY.map(orjson.dumps) | objects(error=ANY, code=ANY, details=ANY).map(orjson.dumps),
    st.text(max_size=8) | st.integers().map(str) | st.floats().map(str),
)
def test_any_refusal_is_an_error_that_can_be_told(
    refusal: Callable[..., Exception], status: int, body: bytes, retry_after: str
) -> None:
    error = refusal("m", status, {"retry-after": retry_after}, body)
    assert 400 <= error.status < 600  # type: ignore[attr-defined]
    assert len(str(error)) < 600
    assert 0 <= (error.retry_after or 0) <= 86_400  # type: ignore[attr-defined]
