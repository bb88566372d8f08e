"""``chat``: one answer of a model, by a running proxy or by one inside this process."""

import argparse
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp
import orjson

from proxy.commands import CommandFailed
from proxy.commands.configuration import configuration, environment
from proxy.commands.refusals import accept, as_object
from proxy.commands.stream import texts
from proxy.commands.terminal import at_terminal, printable, progress, style
from proxy.local import Client, serving
from proxy.telemetry import logs

PATH = "chat"
PROMPT_LIMIT = 16 * 1024 * 1024  # bytes of standard input; the proxy's own limit is lower
CONNECT_S = 10
_STDIN = "-"


def run(options: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Standard input is read before the event loop runs, so that Ctrl-C ends it."""
    messages = [{"role": "system", "content": options.system}] if options.system else []
    messages.append({"role": "user", "content": _prompt(options.user)})
    body = {"model": options.model, "messages": messages, "params": {"stream": options.stream}}
    return _ask(options, body, options.correlation_id or f"cli-{uuid4().hex}")


def _prompt(given: str | None) -> str:
    if given is None or given == _STDIN:
        if at_terminal(sys.stdin):
            print(style(sys.stderr).dim("Write the prompt; Ctrl-D ends it."), file=sys.stderr)
        data = sys.stdin.buffer.read(PROMPT_LIMIT + 1)
        if len(data) > PROMPT_LIMIT:
            raise CommandFailed("standard input is too long for a prompt")
        try:
            given = data.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise CommandFailed("standard input is not UTF-8 text") from None
    if not given.strip():
        raise CommandFailed("the prompt is empty; give it by --user or on standard input")
    return given


async def _ask(options: argparse.Namespace, body: Mapping[str, Any], correlation_id: str) -> int:
    logs.configure("CRITICAL", "json")  # standard output is for the answer; what is wrong is told at the end
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # answers may hold what it cannot show
    try:
        if options.base_url is None:
            config = configuration(options.config)
            async with serving(config) as client:
                await _answer(client, body, correlation_id)
        else:
            async with _reaching(options.base_url) as client:
                await _answer(client, body, correlation_id)
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.os_error.errno) if error.os_error.errno else str(error)
        raise CommandFailed(f"{reason}: is the proxy running at {options.base_url}?") from None
    except BrokenPipeError:
        raise  # standard output, not the proxy
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        raise CommandFailed(f"the connection to the proxy broke off: {error or type(error).__name__}") from None
    return 0


@asynccontextmanager
async def _reaching(base_url: str) -> AsyncIterator[Client]:
    """A proxy that runs already."""
    key = environment()("PROXY_API_KEY")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(f"{base_url}/", headers=headers, timeout=timeout, trust_env=True) as session:
        yield Client(session)


async def _answer(client: Client, body: Mapping[str, Any], correlation_id: str) -> None:
    await (_stream if body["params"]["stream"] else _whole)(client, body, correlation_id)


async def _whole(client: Client, body: Mapping[str, Any], correlation_id: str) -> None:
    with progress(sys.stderr, f"waiting for {body['model']}"):
        async with client.post(PATH, body, correlation_id) as response:
            await accept(response)
            answer = await response.read()
    found = {**as_object(answer), "correlation_id": _correlation_id(client, response)}
    if at_terminal(sys.stdout):
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(orjson.dumps(found).decode())


async def _stream(client: Client, body: Mapping[str, Any], correlation_id: str) -> None:
    started, first, last = time.monotonic(), None, "\n"
    shown = printable if at_terminal(sys.stdout) else str
    try:
        with progress(sys.stderr, f"waiting for {body['model']}") as waiting:
            async for text in texts(client, PATH, body, correlation_id):
                if first is None:
                    first = time.monotonic() - started
                    waiting.clear()
                last = text
                print(shown(text), end="", flush=True)
    finally:
        if not last.endswith("\n"):
            print(flush=True)
    if first is not None and at_terminal(sys.stderr):
        took = time.monotonic() - started
        print(style(sys.stderr).dim(f"first text after {first:.1f} s, all of it after {took:.1f} s"), file=sys.stderr)


def _correlation_id(client: Client, response: aiohttp.ClientResponse) -> str | None:
    """The one that the proxy went by; it makes its own of the request's id when it looks for another header."""
    return response.headers.get(client.header) or response.headers.get("x-request-id")
