"""The short form of the soak: ``make soak`` is the long one."""

from pathlib import Path

import pytest

from tests.faults.soak import soak

pytestmark = pytest.mark.slow


def test_a_few_hundred_streams(tmp_path: Path) -> None:
    record = soak(400, tmp_path, settling=2)
    print(record)
    assert [] == record.complaints
