"""When two requests are the same."""

import json
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.core.callers.chat_request import read
from proxy.core.identity import ASIDE, FORM, identities
from tests.support.calls import a_call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
EXTRAS = st.dictionaries(st.sampled_from(["x", "y", "thinking", "top_k"]), JSON, max_size=3)
BODIES = st.builds(
    lambda text, extras: {"model": "m", "messages": [{"role": "user", "content": text}]} | extras, st.text(), EXTRAS
)


def keys(body: dict[str, Any] | str, *context: str) -> tuple[str, ...]:
    text = body if isinstance(body, str) else json.dumps(body)
    found = identities(read(text.encode(errors="surrogatepass"), "id", 1), *context)
    assert 2 == len(found)
    return found


def shuffled(value: Any, dice: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    return [shuffled(item, dice) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(BODIES, st.randoms(use_true_random=False), st.sampled_from([None, 1, 4]), st.booleans())
def test_the_order_of_keys_and_the_white_space_do_not_matter(
    body: dict[str, Any], dice: random.Random, indent: int | None, ascii_only: bool
) -> None:
    again = json.dumps(shuffled(body, dice), indent=indent, ensure_ascii=ascii_only)
    assert keys(body) == keys(again)


@settings(deadline=None)
@given(BODIES, st.dictionaries(st.sampled_from(sorted(ASIDE - {"store", "model"} - {"metadata"})), st.text()))
def test_what_no_answer_depends_on_does_not_matter(body: dict[str, Any], aside: dict[str, str]) -> None:
    more = {"metadata": {"a": "b"}, "store": True, "seed": None, "model": "alias"}
    assert keys(body) == keys(body | aside | more)


@settings(deadline=None)
@given(BODIES, st.sampled_from([{"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}]))
def test_the_form_matters_to_one_of_the_two(body: dict[str, Any], form: dict[str, Any]) -> None:
    (free, formed), (also_free, otherwise) = keys(body), keys(body | form)
    assert (free, True) == (also_free, formed != otherwise)
    assert form.keys() <= FORM


@settings(deadline=None)
@given(BODIES, BODIES)
def test_other_requests_are_others(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(_plain(one) != _plain(other))
    assert not set(keys(one)) & set(keys(other))


@settings(deadline=None)
@given(BODIES, st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_nothing_is_shared_between_contexts(body: dict[str, Any], one: list[str], other: list[str]) -> None:
    assume(one != other)
    assert not set(keys(body, *one)) & set(keys(body, *other))


def _plain(body: dict[str, Any]) -> str:
    """As it is written, so that 1 and 1.0 are two things."""
    return json.dumps({name: value for name, value in body.items() if value is not None}, sort_keys=True)


DIFFERENT = {
    "a number and its text": ({"x": 1}, {"x": "1"}),
    "a number, written in two ways": ({"x": 1}, {"x": 1.0}),
    "numbers that a float cannot tell apart": ({"x": 2**80}, {"x": 2**80 + 1}),
    "null inside": ({"x": {"y": None}}, {"x": {}}),
    "true and 1": ({"x": True}, {"x": 1}),
    "a list and an object": ({"x": []}, {"x": {}}),
    "texts that look like what they are written as": ({"x": ["a', 'b"]}, {"x": ["a", "b"]}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_one(case: str) -> None:
    one, other = ({"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | extra for extra in DIFFERENT[case])
    assert not set(keys(one)) & set(keys(other))


def test_a_request_that_cannot_be_read_in_full_is_the_same_as_no_other() -> None:
    deep = b'{"x": %b}' % (b"[" * 5000 + b"]" * 5000)
    assert () == identities(a_call(body=deep)) == identities(a_call(body=b"{"))


def test_a_dialect_without_a_body() -> None:
    call = a_call("Hi")
    assert identities(call) == identities(a_call("Hi", id="r2", created=2, session="s", model="alias"))
    assert not set(identities(call)) & set(identities(a_call("Hi", stop=("x",))))
    assert identities(call)[0] == identities(a_call("Hi", stream=True))[0] != identities(a_call("Hi", stream=True))[1]
