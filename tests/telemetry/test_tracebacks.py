"""Tracebacks of requests: frames and types, but nothing that an exception says."""

import json
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

FAULT = """\
import asyncio
import gc
import logging
import sys
import structlog
from proxy.telemetry import logs

def fail(word):
    try:
        {}[word]
    except KeyError as error:
        raise ValueError(f"cannot read {word!r}") from error

logs.configure("INFO", "json", messages=sys.argv[1] == "messages")
log = structlog.get_logger()
try:
    fail("planted")
except ValueError as problem:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.exception("of.a_request")
        log.error("of.a_request", exc_info=problem)
    log.error("of.none", exc_info=problem)
    logging.getLogger("asyncio").error("A task failed\\nfuture: <Task exception=%r>" % problem, exc_info=problem)
    logging.getLogger("aiohttp.client").warning("Cannot load %s", "planted")
    logging.getLogger("another").warning("%d", "planted")

async def forgotten():
    task = asyncio.create_task(asyncio.to_thread(fail, "planted"))
    await asyncio.wait([task])
    del task
    gc.collect()

asyncio.run(forgotten())
"""


def events(argument: str) -> list[dict[str, str]]:
    command = [sys.executable, "-c", FAULT, argument]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stderr == ""
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_what_exceptions_of_requests_and_libraries_say_is_left_out() -> None:
    found = events("none")
    assert ["of.a_request", "of.a_request", "of.none", *["library.message"] * 4] == [event["event"] for event in found]
    for event in found:
        assert (event["event"] == "of.none") == ("planted" in json.dumps(event))
    for event in (*found[:2], found[3]):
        assert "KeyError\n\nThe above exception was the direct cause" in event["exception"]
        assert event["exception"].endswith("\nValueError")
        assert ", in fail\n" in event["exception"]
    assert ["A task failed", "Cannot load %s", "a record that cannot be formatted"] == [
        event["message"] for event in found[3:6]
    ]
    assert "Task exception was never retrieved" == found[6]["message"]


def test_it_is_shown_where_messages_are() -> None:
    assert "ValueError: cannot read 'planted'" in events("messages")[0]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_long_chain_is_cut(form: str) -> None:
    code = """\
import sys
import structlog
from proxy.telemetry import logs
logs.configure("INFO", sys.argv[1])
def fail(times):
    try:
        if times:
            fail(times - 1)
        raise KeyError("planted")
    except KeyError as error:
        raise ValueError("planted") from error
try:
    fail(100)
except ValueError:
    structlog.get_logger().exception("of.a_request", request_id="r1")
"""
    command = [sys.executable, "-c", code, form]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert ("planted" in told, True) == (False, told.count("Traceback") <= 10)
