"""JSON into dataclasses: what is taken, and how each fault is named."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from proxy.simulator.strict import Invalid, read


@dataclass(frozen=True, slots=True)
class Inner:
    size: int = 0

    def __post_init__(self) -> None:
        if self.size == 13:
            raise Invalid("size", "must not be 13")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    count: int | None = None
    seconds: float = 0.0
    flag: bool = False
    choice: Literal["a", "b"] | dict[str, object] = "a"
    names: tuple[str, ...] = ()
    pairs: tuple[tuple[float, str], ...] = ()
    inner: Inner | None = None
    table: dict[str, str] | None = None
    anything: object = None


ACCEPTED: dict[str, tuple[dict[str, Any], Outer]] = {
    "only what is required": ({"name": "n"}, Outer("n")),
    "null where it may be": ({"name": "n", "count": None, "inner": None}, Outer("n")),
    "a whole number for a float": ({"name": "n", "seconds": 2}, Outer("n", seconds=2.0)),
    "the literal of a union": ({"name": "n", "choice": "b"}, Outer("n", choice="b")),
    "the object of a union": ({"name": "n", "choice": {"x": None}}, Outer("n", choice={"x": None})),
    "a list": ({"name": "n", "names": ["x", "y"]}, Outer("n", names=("x", "y"))),
    "pairs": ({"name": "n", "pairs": [[1, "x"]]}, Outer("n", pairs=((1.0, "x"),))),
    "an object within": ({"name": "n", "inner": {"size": 3}}, Outer("n", inner=Inner(3))),
    "any JSON": ({"name": "n", "anything": [1, {}]}, Outer("n", anything=[1, {}])),
}


@pytest.mark.parametrize(("value", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(value: dict[str, Any], expected: Outer) -> None:
    assert read(Outer, value) == expected


def test_a_whole_number_for_a_float_becomes_one() -> None:
    assert isinstance(read(Outer, {"name": "n", "seconds": 2}).seconds, float)


REFUSED: dict[str, tuple[Any, str]] = {
    "not an object": ([], "must be an object"),
    "missing": ({}, "name: is required"),
    "unknown": ({"name": "n", "nmae": 1}, "nmae: unknown field"),
    "wrong type": ({"name": 5}, "name: must be a string"),
    "null": ({"name": None}, "name: must be a string"),
    "a truth for a number": ({"name": "n", "count": True}, "count: must be a whole number or null"),
    "a fraction for a whole number": ({"name": "n", "count": 1.5}, "count: must be a whole number or null"),
    "a number for a truth": ({"name": "n", "flag": 1}, "flag: must be true or false"),
    "negative": ({"name": "n", "seconds": -1}, "seconds: must not be negative"),
    "not one of": ({"name": "n", "choice": "c"}, "choice: must be one of a, b or an object"),
    "not a list": ({"name": "n", "names": "x"}, "names: must be a list"),
    "an item": ({"name": "n", "names": ["x", 1]}, "names[1]: must be a string"),
    "too few items": ({"name": "n", "pairs": [[1]]}, "pairs[0]: must have 2 items"),
    "an item of a pair": ({"name": "n", "pairs": [[1, 2]]}, "pairs[0][1]: must be a string"),
    "unknown within": ({"name": "n", "inner": {"sise": 1}}, "inner.sise: unknown field"),
    "refused by the class within": ({"name": "n", "inner": {"size": 13}}, "inner.size: must not be 13"),
    "a value of an object": ({"name": "n", "table": {"k": 1}}, "table.k: must be a string"),
}


@pytest.mark.parametrize(("value", "message"), REFUSED.values(), ids=REFUSED)
def test_names_the_fault(value: Any, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(Outer, value)
    assert str(caught.value) == message
