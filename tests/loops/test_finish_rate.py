"""A thousand loops against a model that errs: nearly all finish, none with a wrong call."""

import json
import random

import pytest

from tests.loops.faults import FAULTS, OTHER_FORMATS, UNREADABLE, clean, some_call
from tests.loops.finish_rate import measure

pytestmark = pytest.mark.slow


async def test_finish_rate() -> None:
    found = await measure()
    assert 0 == found.wrong
    assert 0.98 <= found.rate < 1, "some loops are beyond repair on purpose"
    assert 1.0 < found.calls_per_step <= 1.3


@pytest.mark.parametrize("fault", FAULTS | OTHER_FORMATS)
def test_the_faults_are_faults(fault: str) -> None:
    """Each changes what is written, and those called unreadable are no JSON."""
    dice = random.Random(fault)
    calls = [some_call(dice) for _ in range(40)]
    assert any(clean(call) != (FAULTS | OTHER_FORMATS)[fault](call) for call in calls)
    if fault in UNREADABLE:
        for call in calls:
            arguments = FAULTS[fault](call).split("arguments: ")[1].removesuffix("\nFUNCTION_CALL_END")
            with pytest.raises(json.JSONDecodeError):
                json.loads(arguments)
