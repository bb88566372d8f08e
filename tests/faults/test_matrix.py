"""Every fault of an upstream, on every way through the proxy, and what must hold behind each of them."""

from collections.abc import Iterator

import pytest

from tests.faults.caller import Told, ask
from tests.faults.faults import CONTENTS, ENDINGS, FAULTS, SILENCE, TRUNCATED, Fault
from tests.faults.front import Front, Scripts, front_of
from tests.faults.ground import never_faked
from tests.faults.refusals import REFUSALS, Refusal
from tests.faults.table import Table
from tests.faults.upstream import Upstream
from tests.faults.wire import WAYS, Way

pytestmark = pytest.mark.slow

FAILED = ("upstream.failed", "upstream.retried", "request.rejected")
QUICK = "proxy: {timeouts: {first_token: 0.5, idle: 0.5}}\n"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


@pytest.fixture(scope="module")
def front(upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front_of(upstream, scripts, tmp_path_factory.mktemp("front")) as found:
        yield found


@pytest.fixture(scope="module")
def quick(upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A proxy that soon takes silence for a fault."""
    with front_of(upstream, scripts, tmp_path_factory.mktemp("quick"), QUICK, LOOK_EVERY_S="0.05") as found:
        yield found


@pytest.fixture(scope="module")
def plain(upstream: Upstream, scripts: Scripts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A proxy without the short way from read to write."""
    with front_of(upstream, scripts, tmp_path_factory.mktemp("plain"), HANDOVER="off") as found:
        yield found


def told_of(front: Front, correlation_id: str, fault: Fault, way: Way) -> Told:
    """What the caller gets; that and everything else is as it must be."""
    front.scripts.put(correlation_id, fault.steps(way.wire) or ())
    code, reason = fault.code_in(way.wire), fault.reason_in(way.wire)
    with front.ground.kept(correlation_id, reason=reason, posts=fault.posts, warnings=FAILED if code else ()):
        told = ask(front.proxy.url, correlation_id, model=way.model, stream=way.streamed)
    assert told.ended, "as HTTP has it"
    assert code == told.code
    if code is None:
        assert (200, fault.text, True) == (told.status, told.text, told.complete)
        return told
    never_faked(told)
    if way.streamed and fault.text:
        assert (200, fault.text) == (told.status, told.text)
    else:
        assert fault.status_in(way.wire) == told.status
        assert fault.again is ("x-should-retry" not in told.headers)
    return told


CASES = [
    (name, way)
    for name, fault in FAULTS.items()
    for way in (WAYS if name in ENDINGS or name in CONTENTS else WAYS[:4])
    if fault.steps(way.wire) is not None
]
BREAKS = [(name, way) for name, way in CASES if way.streamed and FAULTS[name].code == TRUNCATED]


def ids(value: object) -> str | None:
    return value.name if isinstance(value, Way) else None


@pytest.mark.parametrize(("name", "way"), CASES, ids=ids)
def test_faults(front: Front, quick: Front, table: Table, correlation_id: str, name: str, way: Way) -> None:
    fault = FAULTS[name]
    told = told_of(quick if name in SILENCE else front, correlation_id, fault, way)
    table.note(name, way, told, fault.posts)


@pytest.mark.parametrize(("name", "way"), BREAKS, ids=ids)
def test_streams_without_the_short_way(plain: Front, correlation_id: str, name: str, way: Way) -> None:
    told_of(plain, correlation_id, FAULTS[name], way)


REFUSED = [
    (name, way) for name in REFUSALS for way in (WAYS[1:3] if name.endswith(": 1") else WAYS[:4])
]  # it takes 1 s


@pytest.mark.parametrize(("name", "way"), REFUSED, ids=ids)
def test_refusals(front: Front, table: Table, correlation_id: str, name: str, way: Way) -> None:
    refusal: Refusal = REFUSALS[name]
    front.scripts.put(correlation_id, refusal.steps(int(name[:3])))
    posts = refusal.posts_in(way.wire)
    with front.ground.kept(correlation_id, reason="upstream_error", posts=posts, warnings=FAILED):
        told = ask(front.proxy.url, correlation_id, model=way.model, stream=way.streamed)
    assert refusal.due_in(way.wire) == (told.status, told.code)
    assert refusal.again is ("x-should-retry" not in told.headers)
    assert refusal.retry_after_in(way.wire) == told.headers.get("retry-after")
    table.note(name, way, told, posts)


def test_the_table_of_the_readme(table: Table) -> None:
    if table.noted < len(CASES) + len(REFUSED):
        pytest.skip("it is made of the whole matrix, and only a part of it was run")
    published, made = table.publish()
    assert made == published
