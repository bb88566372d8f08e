"""What an upstream says of a failure: its words for the caller, its status and code for logs."""

from typing import TypeVar

from proxy.errors import ProxyError, safe_code

E = TypeVar("E", bound=ProxyError)


def with_words(error: E, status: int | None, code: object, words: str) -> E:
    """``error`` with the upstream's ``words`` in its message, and the status and the code in its reason."""
    error.reason = reason_of(error.message, status, code)
    if words:
        error.message = f"{error.message}: {words}"
    return error


def reason_of(summary: str, status: int | None, code: object) -> str:
    """``summary``, which is the proxy's own, with what may be logged of the upstream's answer. An upstream may quote
    the prompt in any form, so nothing else of its answer may."""
    known = [] if status is None or str(status) in summary else [f"status {status}"]
    if named := safe_code(code):
        known.append(f"code {named}")
    return f"{summary} ({', '.join(known)})" if known else summary
