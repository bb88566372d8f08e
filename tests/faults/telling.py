"""``python -m tests.faults.telling``: the proxy as it is, which on SIGUSR1 logs how many tasks it has.

The environment makes it quick enough for tests: BACKOFF_S is the longest wait before a retry that no
Retry-After asks for, PAUSE_S the pause
after StackSpot's 429, RENEWAL_S the least time between renewals after refusals, LOOK_EVERY_S how exactly time-outs are kept, IDLE_S how long callers' connections are. HANDOVER=off takes the short way from read to write away.
"""

import asyncio
import os
import signal
import sys
from functools import partial
from typing import Any

import structlog

from proxy import cli
from proxy.commands import serve as serving
from proxy.dispatch import attempts, budget, credentials, transport
from proxy.dispatch.quota import pace
from proxy.server import connection, run, watchdog

TASKS = "test.tasks"


def hasten() -> None:
    budget.ALWAYS = 1_000_000  # a test of retries fails more often than anybody's upstream
    if backoff := os.environ.get("BACKOFF_S"):
        delay = attempts._Tries._delay
        attempts._Tries._delay = lambda *given: wait if (wait := delay(*given)) >= 1 else min(wait, float(backoff))  # type: ignore[method-assign]
    if pause := os.environ.get("PAUSE_S"):
        pace.PAUSE_S = pace.LONGEST_PAUSE_S = float(pause)
    if renewal := os.environ.get("RENEWAL_S"):
        credentials.ClientCredentials.__init__.__kwdefaults__["renewal_interval"] = float(renewal)  # type: ignore[index]
    if look := os.environ.get("LOOK_EVERY_S"):
        watchdog.LOOK_EVERY_S = float(look)
    if idle := os.environ.get("IDLE_S"):
        connection.IDLE_S = float(idle)
    if os.environ.get("HANDOVER") == "off":
        transport.FITS = False


def tell() -> None:
    tasks = asyncio.all_tasks()
    names = sorted(getattr(task.get_coro(), "__qualname__", "?") for task in tasks)
    structlog.get_logger().info(TASKS, tasks=len(tasks), names=names)


async def serve(*args: Any, **options: Any) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, partial(tell))
    await run.serve(*args, **options)


if __name__ == "__main__":
    hasten()
    serving.serve = serve  # type: ignore[assignment]
    sys.exit(cli.main())
