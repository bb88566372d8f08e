"""Statuses that are no answer, and what a caller must be told of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.upstream import Steps
from tests.faults.wire import JSON, STACKSPOT, Wire, head

WORDS = b'{"error": {"message": "No.", "type": "t", "param": null, "code": "its_own"}}'


@dataclass(frozen=True, slots=True)
class Refusal:
    """``due`` is the status and the code from StackSpot, ``provider_due`` that from a provider where it differs.
    ``again`` says that the caller may repeat, ``retry_after`` when; ``posts`` includes the one retry; towards
    StackSpot also the renewal of a login, and a retry that waits in its queue."""

    due: tuple[int, str | None]
    provider_due: tuple[int, str | None] | None = None
    headers: tuple[str, ...] = ()
    body: bytes = WORDS
    again: bool = True
    retry_after: str | None = None
    posts: int = 1
    stackspot_posts: int | None = None

    def due_in(self, wire: Wire) -> tuple[int, str | None]:
        return self.due if wire is STACKSPOT or self.provider_due is None else self.provider_due

    def retry_after_in(self, wire: Wire) -> str | None:
        """After StackSpot's 429 the pause of the account counts."""
        return "1" if wire is STACKSPOT and self.due == LIMITED else self.retry_after

    def posts_in(self, wire: Wire) -> int:
        return self.posts if self.stackspot_posts is None or wire is not STACKSPOT else self.stackspot_posts

    def steps(self, status: int) -> Steps:
        length = f"content-length: {len(self.body)}"
        return [head(JSON, f"{status} Refused", length, *self.headers) + self.body]


ELSEWHERE = ("location: /v1/chat/completions",)
REJECTED, FAILED = (502, "upstream_rejected"), (502, "upstream_failed")
LIMITED = (429, "rate_limit_exceeded")

REFUSALS: Mapping[str, Refusal] = {
    "204": Refusal(REJECTED, again=False, body=b""),
    "301": Refusal(REJECTED, headers=ELSEWHERE, again=False, body=b""),
    "302": Refusal(REJECTED, headers=ELSEWHERE, again=False, body=b""),
    "307": Refusal(REJECTED, headers=ELSEWHERE, again=False, body=b""),
    "308": Refusal(REJECTED, headers=ELSEWHERE, again=False, body=b""),
    "400": Refusal(REJECTED, (400, "its_own"), again=False),
    "401": Refusal((502, "upstream_auth"), again=False, stackspot_posts=2),
    "402": Refusal(REJECTED, again=False),
    "403": Refusal((502, "upstream_forbidden"), again=False),
    "404": Refusal((502, "upstream_not_found"), again=False),
    "405": Refusal(REJECTED, again=False),
    "408": Refusal(REJECTED, again=False),
    "409": Refusal(REJECTED, again=False),
    "413": Refusal(REJECTED, (413, "its_own"), again=False),
    "422": Refusal(REJECTED, (422, "its_own"), again=False),
    "425": Refusal(REJECTED, again=False),
    "429": Refusal(LIMITED, posts=2),
    "429, retry-after: 1": Refusal(LIMITED, headers=("retry-after: 1",), posts=2, retry_after="1"),
    "429, retry-after: 3600": Refusal(LIMITED, headers=("retry-after: 3600",), retry_after="60", stackspot_posts=2),
    "500": Refusal(FAILED, posts=2),
    "500, not a word": Refusal(FAILED, body=b"", posts=2),
    "500, HTML": Refusal(FAILED, body=b"<html><h1>Oops</h1></html>", posts=2),
    "501": Refusal(FAILED, posts=2),
    "502": Refusal(FAILED, posts=2),
    "503": Refusal(FAILED, posts=2),
    "503, retry-after: 1": Refusal(FAILED, headers=("retry-after: 1",), posts=2, retry_after="1"),
    "504": Refusal((504, "upstream_failed"), posts=2),
    "529": Refusal(FAILED, posts=2),
}  # fmt: skip
