"""Scripted answers over real sockets: whose turn it is, and every switch that shows only there."""

import base64
from typing import Any

import aiohttp
import pytest

from proxy.simulator import Simulator

from .helpers import Client, now, raw_chat, took

LAST_CHUNK = b"\r\n0\r\n\r\n"


async def test_answers_come_in_their_order_and_then_the_built_in_one(client: Client) -> None:
    assert (await client.script({"text": "one"}, {"text": "two"})).json() == {"answers": 2}
    assert [(await client.chat()).text() for _ in range(2)] == ["one", "two"]
    assert "“Hi”" in (await client.chat()).text()


async def test_the_last_answer_stays_if_told_to(client: Client) -> None:
    await client.script({"text": "one", "repeat": True}, {"text": "two", "repeat": True})
    assert [(await client.chat()).text() for _ in range(3)] == ["one", "two", "two"]


async def test_a_request_s_own_answers_come_first(client: Client) -> None:
    await client.script({"text": "any"}, key="*")
    await client.script({"text": "own"}, key="c-1")
    assert (await client.chat(correlation_id="c-2")).text() == "any"
    assert (await client.chat(correlation_id="c-1")).text() == "own"


async def test_refused_requests_take_no_answer(client: Client) -> None:
    await client.script({"text": "one"})
    assert (await client.chat(key="stranger")).status == 401
    assert (await client.chat()).text() == "one"


async def test_a_new_script_replaces_the_old(client: Client) -> None:
    await client.script({"text": "old", "repeat": True})
    await client.script({"text": "new"})
    assert (await client.chat()).text() == "new"


async def test_a_wrong_script_is_refused_and_named(client: Client) -> None:
    reply = await client.script({"text": "one"}, {"cut": {"how": "softly"}})
    assert (reply.status, reply.json()["field"]) == (400, "[1].cut.how")
    assert (await client.request("PUT", "/_simulator/scripts/*", data=b"[")).status == 400
    assert "“Hi”" in (await client.chat()).text()


async def test_the_built_in_answer_takes_the_script_s_manner(client: Client) -> None:
    await client.script({"shape": "full", "final": False})
    reply = await client.chat()
    assert "“Hi”" in reply.text()
    assert all("upload_ids" in event for event in reply.events())


async def test_silence_before_the_status_line(simulator: Simulator, client: Client) -> None:
    await client.script({"before_status_s": 0.1})
    started = now()
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"HTTP/1.1 200 OK\r\n")
        assert took(started) >= 0.1


async def test_silence_before_the_first_event(simulator: Simulator, client: Client) -> None:
    await client.script({"before_events_s": 0.15})
    started = now()
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"\r\n\r\n")
        assert took(started) < 0.1
        await chat.until(b"data:")
        assert took(started) >= 0.15


async def test_a_pause_in_the_middle(simulator: Simulator, client: Client) -> None:
    await client.script({"deltas": ["one", "two"], "pause": {"after": 1, "seconds": 0.1}})
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"one")
        started = now()
        await chat.until(b"two")
        assert took(started) >= 0.09


async def test_the_interval_between_deltas(client: Client) -> None:
    await client.script({"deltas": ["x"] * 6, "interval_s": 0.02})
    started = now()
    await client.chat()
    assert took(started) >= 0.1


async def test_the_connection_lingers_after_the_final_event(simulator: Simulator, client: Client) -> None:
    await client.script({"deltas": ["x"], "linger_s": 0.1})
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"message_id")
        started = now()
        await chat.until(LAST_CHUNK)
        assert took(started) >= 0.09


async def test_split_writes_arrive_apart(simulator: Simulator, client: Client) -> None:
    await client.script({"deltas": ["Olá"], "final": False, "split": 5, "split_gap_s": 0.02})
    started = now()
    async with raw_chat(simulator.url) as chat:
        await chat.until(b"\r\n\r\n")
        body = await chat.until(LAST_CHUNK)
        assert took(started) >= 5 * 0.02
    assert body.startswith(b'5\r\ndata:\r\n5\r\n {"me\r\n5\r\nssage\r\n')


CUTS: dict[str, tuple[dict[str, Any], bool, bytes]] = {
    "close": ({"how": "close", "after": 1}, False, b'"one"}\n\n\r\n'),
    "reset": ({"how": "reset", "after": 1}, True, b'"one"}\n\n\r\n'),
    "half an event, then a close": (
        {"how": "half_event", "after": 1, "then": "close"},
        False,
        b'{"messa\r\n',
    ),
    "half a character, then a reset": ({"how": "half_utf8", "after": 1, "then": "reset"}, True, b"\xc3\r\n"),
    "close before the status line": ({"how": "close", "headers": False}, False, b""),
    "reset before the status line": ({"how": "reset", "headers": False}, True, b""),
}


@pytest.mark.parametrize(("cut", "is_reset", "last"), CUTS.values(), ids=CUTS)
async def test_a_broken_connection(
    simulator: Simulator, client: Client, cut: dict[str, Any], is_reset: bool, last: bytes
) -> None:
    await client.script({"deltas": ["one", "twô"], "cut": cut})
    async with raw_chat(simulator.url) as chat:
        got, was_reset = await chat.until_broken()
        assert was_reset == is_reset
        assert got.endswith(last)
        assert bool(got) is bool(last)


@pytest.mark.parametrize("how", ["clean", "half_event", "half_utf8"])
async def test_a_clean_cut_ends_as_http_wants(simulator: Simulator, client: Client, how: str) -> None:
    await client.script({"deltas": ["one", "twô"], "cut": {"how": how, "after": 1}})
    async with raw_chat(simulator.url) as chat:
        assert b"stop_reason" not in await chat.until(LAST_CHUNK)


async def test_raw_bytes_go_out_as_they_are(client: Client) -> None:
    raw = b"\xff\x00data: x\r\n\r"
    await client.script({"raw": base64.b64encode(raw).decode(), "content_type": "text/html"})
    reply = await client.chat()
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/html", raw)


async def test_raw_bytes_can_be_split_delayed_and_cut(simulator: Simulator, client: Client) -> None:
    raw = base64.b64encode(b"abcdef").decode()
    await client.script({"raw": raw, "split": 4, "before_events_s": 0.05, "cut": {"how": "reset"}})
    started = now()
    async with raw_chat(simulator.url) as chat:
        got, was_reset = await chat.until_broken()
    assert took(started) >= 0.05
    assert was_reset
    assert got.endswith(b"\r\n\r\n4\r\nabcd\r\n2\r\nef\r\n")


BODIES: dict[str, tuple[dict[str, Any], int, str | None, bytes]] = {
    "JSON": ({"status": 418, "body": {"a": [1]}}, 418, "application/json", b'{"a":[1]}'),
    "plain text": ({"status": 500, "body": "Oops"}, 500, "text/plain", b"Oops"),
    "nothing": ({"status": 503}, 503, None, b""),
    "a body of success": ({"body": {}}, 200, "application/json", b"{}"),
    "a type of its own": ({"body": "<p>", "content_type": "text/html"}, 200, "text/html", b"<p>"),
}


@pytest.mark.parametrize(("answer", "status", "kind", "body"), BODIES.values(), ids=BODIES)
async def test_a_status_and_a_body(
    client: Client, answer: dict[str, Any], status: int, kind: str | None, body: bytes
) -> None:
    await client.script({**answer, "headers": {"Retry-After": "7"}})
    reply = await client.chat()
    assert (reply.status, reply.headers.get("content-type"), reply.body) == (status, kind, body)
    assert reply.headers["retry-after"] == "7"
    assert (await client.stats())["generations"] == (status == 200)


REFUSALS: dict[str, tuple[int, bytes]] = {
    "rate_limited": (429, b"INFERENCE_3008_CHAT_RATE_LIMIT_EXCEEDED"),
    "context_length": (400, b"limit of 272000 tokens. Your messages resulted in 340000 tokens"),
    "credit": (429, b"Credit Limit Reached"),
    "forbidden": (403, b""),
    "not_found": (404, b'"code"'),
    "unauthorized": (401, b'"code"'),
    "server_error": (500, b'"code"'),
    "bad_gateway": (502, b"Bad Gateway"),
    "unavailable": (503, b'"code"'),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_named_refusals(client: Client, name: str) -> None:
    status, part = REFUSALS[name]
    await client.script({"refuse": name, "before_status_s": 0.03})
    started = now()
    reply = await client.chat()
    assert took(started) >= 0.03
    assert reply.status == status
    assert part in reply.body
    assert "retry-after" not in reply.headers
    if name in ("credit", "bad_gateway"):
        assert (reply.headers["content-type"], reply.body) == ("text/plain", part)
    if name == "forbidden":
        assert reply.body == b""
    assert (await client.stats())["generations"] == 0


async def test_headers_are_added_to_a_stream(client: Client) -> None:
    await client.script({"headers": {"X-Trace": "t", "Content-Type": "text/event-stream; charset=utf-8"}})
    reply = await client.chat()
    assert reply.headers["x-trace"] == "t"
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


class TestWhole:
    """Scripts and `streaming: false`."""

    async def test_text_and_time(self, client: Client) -> None:
        await client.script({"deltas": ["a", "b"], "interval_s": 0.03, "final_text": "c"})
        started = now()
        reply = await client.chat(streaming=False)
        assert took(started) >= 0.06
        assert reply.json()["message"] == "abc"

    async def test_a_cut_breaks_it_off(self, client: Client) -> None:
        await client.script({"cut": {"how": "clean"}})
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.chat(streaming=False)

    async def test_an_error_is_a_status(self, client: Client) -> None:
        await client.script({"error": {"form": "type"}})
        assert (await client.chat(streaming=False)).status == 500

    async def test_the_gateway_hangs_up(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("proxy.simulator.delivery.GATEWAY_S", 0.05)
        await client.script({"endless_empty": True})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.chat(streaming=False)
