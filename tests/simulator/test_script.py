"""Scripts: strictly read, contradictions refused, every fault named."""

from typing import Any

import pytest

from proxy.simulator.script import Answer, Cut, Pause, StreamError, read_script
from proxy.simulator.strict import Invalid


def test_an_empty_answer_is_the_default() -> None:
    assert (Answer(),) == read_script([{}])


def test_nested_parts_are_read() -> None:
    (answer,) = read_script(
        [
            {
                "pause": {"seconds": 2, "after": 3},
                "cut": {"how": "half_utf8", "after": 4, "then": "reset"},
                "error": {"form": "event", "after": 5},
                "tokens": {"input": "12", "output": None},
                "headers": {"retry-after": "3"},
            }
        ]
    )
    assert Pause(2.0, 3) == answer.pause
    assert Cut("half_utf8", 4, "reset") == answer.cut
    assert StreamError("event", 5) == answer.error
    assert answer.tokens == {"input": "12", "output": None}
    assert answer.headers == {"retry-after": "3"}


@pytest.mark.parametrize(
    ("cut", "ending"),
    [
        pytest.param(Cut("reset"), "reset", id="as it says"),
        pytest.param(Cut("half_event"), "clean", id="half an event ends cleanly"),
        pytest.param(Cut("half_event", then="close"), "close", id="unless told"),
    ],
)
def test_how_a_cut_ends(cut: Cut, ending: str) -> None:
    assert cut.ending == ending


REFUSED: dict[str, tuple[Any, str]] = {
    "not a list": ({}, "a script must be a list of answers"),
    "not an object": ([3], "[0]: must be an object"),
    "an unknown field": ([{}, {"txet": "x"}], "[1].txet: unknown field"),
    "an unknown field within": ([{"cut": {"how": "clean", "when": 3}}], "[0].cut.when: unknown field"),
    "no pieces of nothing": ([{"delta_chars": 0}], "[0].delta_chars: must be at least 1"),
    "no writes of nothing": ([{"split": 0}], "[0].split: must be at least 1"),
    "no such status": ([{"status": 100}], "[0].status: must be between 200 and 599"),
    "no such refusal": ([{"refuse": "tired"}], "[0].refuse: must be one of rate_limited, "),
    "not base64": ([{"raw": "%"}], "[0].raw: must be base64"),
    "two texts": ([{"text": "a", "deltas": ["a"]}], "[0].deltas: cannot stand beside text"),
    "a text with a refusal": ([{"text": "a", "refuse": "credit"}], "[0].refuse: cannot stand beside text"),
    "a status with a text": ([{"text": "a", "status": 500}], "[0].status: cannot stand beside text"),
    "a cut of what does not stream": ([{"status": 500, "cut": {"how": "clean"}}], "[0].cut: needs an answer"),
    "a header that splits": ([{"headers": {"a": "b\r\nc: d"}}], "[0].headers: must not hold control"),
    "a type that splits": ([{"content_type": "a\nb"}], "[0].content_type: must not hold control"),
}


@pytest.mark.parametrize(("script", "message"), REFUSED.values(), ids=REFUSED)
def test_names_the_fault(script: Any, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_script(script)
    assert str(caught.value).startswith(message)
