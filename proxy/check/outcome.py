"""Things to check, and how each ended."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass

from proxy.errors import ConnectTimeout, ProxyError, UpstreamUnreachable


class CheckFailed(Exception):
    """The message says why, and what to set."""


@dataclass(frozen=True, slots=True)
class Check:
    """``run`` gives a few words on what it found; it raises ``CheckFailed`` or a ``ProxyError``. ``suspects`` are
    what to check when nobody answers."""

    what: str
    run: Callable[[], Awaitable[str]]
    suspects: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``note`` is what was found, or why it failed. ``seconds`` is how long it took."""

    what: str
    failed: bool
    note: str
    seconds: float


async def run_all(
    checks: Collection[Check], *, limit: float | None = None, at_once: int | None = None
) -> AsyncIterator[Outcome]:
    """Runs the checks side by side, ``at_once`` of them if that is given; each outcome comes as soon as it is
    there. ``limit`` is in seconds, for each."""
    gate = asyncio.Semaphore(at_once or len(checks) or 1)

    async def run(check: Check) -> Outcome:
        async with gate:
            started = time.monotonic()
            failed, note = await _run(check, limit)
            return Outcome(check.what, failed, note, time.monotonic() - started)

    tasks = [asyncio.create_task(run(check)) for check in checks]
    try:
        for ended in asyncio.as_completed(tasks):
            yield await ended
    finally:
        for task in tasks:
            task.cancel()


async def _run(check: Check, limit: float | None) -> tuple[bool, str]:
    hint = f"; check {check.suspects}" if check.suspects else ""
    try:
        async with asyncio.timeout(limit):
            return False, await check.run()
    except TimeoutError:
        return True, f"no answer within {limit:g} s{hint}"
    except (UpstreamUnreachable, ConnectTimeout) as error:
        return True, one_line(error.reason if "; check" in error.reason else f"{error.reason}{hint}")
    except ProxyError as error:
        return True, one_line(error.reason)
    except CheckFailed as failure:
        return True, one_line(str(failure))


def one_line(text: str) -> str:
    """What others have written, without anything that a terminal might obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
