"""What the tree of errors promises to callers."""

from collections.abc import Iterator

import pytest

from proxy import errors
from proxy.errors import CallerError, ProxyError


def classes(base: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    for found in base.__subclasses__():
        yield found
        yield from classes(found)


def test_failures_that_another_try_may_mend_are_server_errors() -> None:
    """Coding agents repeat after this type, and give up after one that they do not know."""
    limited = {"rate_limit_error"}
    others = {
        each.__name__: each.type
        for each in classes()
        if not each.hopeless and not issubclass(each, CallerError) and each.type not in limited
    }
    assert {"server_error"} == set(others.values()), others


@pytest.mark.parametrize("name", ["UpstreamAuth", "UpstreamForbidden", "UpstreamNotFound", "UpstreamRejected",
                                  "UpstreamTLS", "ToolCallUnreadable", "ToolChoiceNotMet", "FormatNotMet"])  # fmt: skip
def test_failures_that_no_try_can_mend_are_not(name: str) -> None:
    error = getattr(errors, name)
    assert (True, "upstream_error") == (error.hopeless, error.type)
