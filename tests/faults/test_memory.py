"""What a request took is given back when it is over, not only when the garbage collector comes by."""

from collections.abc import Iterator, Mapping

import psutil
import pytest

from tests.faults.caller import ask
from tests.faults.front import Front, Scripts, front_of
from tests.faults.upstream import Steps, Upstream
from tests.faults.wire import JSON, LAST, STACKSPOT, chunk, head

pytestmark = pytest.mark.slow

MB = 2**20
PROMPT = [{"role": "user", "content": "word " * 50_000}]
WARM, MEASURED = 20, 100
GROWTH = 10 * MB  # what a hundred such prompts come to is 25 MB, without any copy of them


@pytest.fixture(scope="module")
def front(upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front_of(upstream, scripts, tmp_path_factory.mktemp("front"), LOG_LEVEL="INFO") as found:
        yield found


UNAVAILABLE = head(JSON, "503 Unavailable", "content-length: 0")
ANSWERS: Mapping[str, tuple[Steps, bool]] = {
    "answered": (STACKSPOT.whole(), False),
    "broken off": ([STACKSPOT.head + chunk(STACKSPOT.part) + LAST], True),
    "asked again, and refused": ([UNAVAILABLE], True),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_prompts_are_not_kept(front: Front, correlation_id: str, case: str) -> None:
    answer, fails = ANSWERS[case]
    front.scripts.put(correlation_id, answer)
    process = psutil.Process(front.proxy.process.pid)

    def resident_after(requests: int) -> int:
        for _ in range(requests):
            told = ask(front.proxy.url, correlation_id, model="agent", stream=True, messages=PROMPT)
            assert fails is (told.error is not None)
        front.upstream.exchanges.clear()
        return process.memory_info().rss

    before = resident_after(WARM)
    assert resident_after(MEASURED) - before < GROWTH
