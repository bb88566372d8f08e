"""The raw upstream, shared by the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.faults.front import Scripts
from tests.faults.upstream import Beside, Upstream


@pytest.fixture(scope="module")
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture(scope="module")
def upstream(scripts: Scripts) -> Iterator[Upstream]:
    raw = Upstream(scripts)
    with Beside(raw):
        yield raw
