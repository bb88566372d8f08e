"""Blocking work that must not keep the process from ending."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_daemon_thread(work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread of its own; its result, or its exception.

    ``asyncio.to_thread`` would have the end of the process wait for work that hangs, such as a read from a file system
    that does not answer.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(set_outcome: Callable[[Any], None], outcome: object) -> None:
        if not done.done():  # nobody has given up the wait
            set_outcome(outcome)

    def run() -> None:
        set_outcome: Callable[[Any], None] = done.set_result
        outcome: object
        try:
            outcome = work()
        except BaseException as error:  # the boundary of the thread: the waiter gets it
            set_outcome, outcome = done.set_exception, error
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, set_outcome, outcome)

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await done
