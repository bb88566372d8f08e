"""Work for a thread: in order, bounded, and never in anybody's way."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from proxy.telemetry.backlog import Backlog

Work = Callable[[Sequence[int], int], None]
Make = Callable[..., Backlog[int]]


class Noting:
    """Notes what it is given; with ``held`` it waits before each piece of work."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.dropped = 0
        self.calls = 0
        self.begun = threading.Event()
        self.held = threading.Event()
        self.held.set()

    def __call__(self, items: Sequence[int], dropped: int) -> None:
        self.begun.set()
        self.held.wait(5)
        self.calls += 1
        self.items += items
        self.dropped += dropped


@pytest.fixture
def noting() -> Noting:
    return Noting()


@pytest.fixture
def make(noting: Noting) -> Iterator[Make]:
    made: list[Backlog[int]] = []

    def make(work: Work = noting, items: int = 1000, weight: int = 1000, gather: float = 0.01) -> Backlog[int]:
        made.append(Backlog(work, name="test", items=items, weight=weight, gather=gather))
        return made[-1]

    yield make
    noting.held.set()
    assert all(backlog.close(5) for backlog in made)


def test_everything_is_worked_off_in_order(make: Make, noting: Noting) -> None:
    backlog = make()
    assert all(backlog.offer(number, 1) for number in range(100))
    assert backlog.close(5)
    assert (list(range(100)), 0) == (noting.items, noting.dropped)


def test_what_comes_together_is_worked_off_together(make: Make, noting: Noting) -> None:
    backlog = make(gather=0.3)
    for number in range(50):
        backlog.offer(number, 1)
    backlog.close(5)
    assert 1 == noting.calls


def test_it_is_worked_off_soon(make: Make, noting: Noting) -> None:
    backlog = make()
    for number in range(3):
        noting.begun.clear()
        backlog.offer(number, 1)
        assert noting.begun.wait(1)


@pytest.mark.parametrize(("items", "weight"), [(5, 1000), (1000, 50)], ids=["items", "weight"])
def test_what_is_too_much_is_counted(make: Make, noting: Noting, items: int, weight: int) -> None:
    backlog = make(items=items, weight=weight)
    noting.held.clear()
    backlog.offer(0, 1)
    assert noting.begun.wait(1)
    taken = [backlog.offer(number, 10) for number in range(1, 9)]
    assert [True] * 5 + [False] * 3 == taken
    noting.held.set()
    assert backlog.close(5)
    assert ([0, 1, 2, 3, 4, 5], 3) == (noting.items, noting.dropped)


def test_offering_does_not_wait(make: Make, noting: Noting) -> None:
    backlog = make(items=10)
    noting.held.clear()
    started = time.monotonic()
    for number in range(1000):
        backlog.offer(number, 1)
    assert 0.5 > time.monotonic() - started


def test_closing_does_not_wait_for_ever(make: Make, noting: Noting) -> None:
    backlog = make()
    noting.held.clear()
    backlog.offer(1, 1)
    assert noting.begun.wait(1)
    assert not backlog.close(0.05)
    assert not backlog.offer(2, 1)


def test_work_that_fails_does_not_end_it(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []

    def work(items: Sequence[int], _: int) -> None:
        if items[0] == 0:
            raise RuntimeError("a fault")
        done.extend(items)

    backlog = make(work)
    backlog.offer(0, 1)
    deadline = time.monotonic() + 5
    while "a fault" not in capsys.readouterr().out:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    backlog.offer(1, 1)
    assert backlog.close(5)
    assert [1] == done
