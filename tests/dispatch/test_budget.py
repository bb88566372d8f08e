"""The budget of retries: a fifth of the last minute's requests, and always ten."""

from proxy.dispatch.budget import RetryBudget
from tests.support.clock import Clock


def taken(budget: RetryBudget, tries: int) -> int:
    return sum(budget.take() for _ in range(tries))


def test_ten_are_always_allowed() -> None:
    assert 10 == taken(RetryBudget(Clock()), 50)


def test_a_fifth_of_the_requests() -> None:
    budget = RetryBudget(Clock())
    for _ in range(200):
        budget.count_request()
    assert 40 == taken(budget, 100)


def test_only_the_last_minute_counts() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(200):
        budget.count_request()
    clock.now += 59
    assert 30 == taken(budget, 30)
    clock.now += 2
    assert 0 == taken(budget, 5), "the requests have gone, the retries have not"
    clock.now += 60
    assert 10 == taken(budget, 50)
