"""The token endpoint, and what a token is good for."""

import asyncio
from typing import Any

import pytest

from .helpers import Client, now, took

FORM = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
TOKEN = "/acme/oidc/oauth/token"


async def test_answers_as_keycloak_does(client: Client) -> None:
    reply = await client.login()
    assert reply.status == 200
    answer = reply.json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 1199)
    assert answer["access_token"].count(".") == 2


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "JSON": ({"json": FORM}, 400, "invalid_request"),
    "another grant": ({"data": FORM | {"grant_type": "password"}}, 400, "unsupported_grant_type"),
    "no grant": ({"data": {"client_id": "a"}}, 400, "invalid_request"),
    "no client id": ({"data": FORM | {"client_id": ""}}, 400, "invalid_request"),
    "no secret": ({"data": {k: FORM[k] for k in ("grant_type", "client_id")}}, 400, "invalid_request"),
    "a wrong secret": ({"data": FORM | {"client_secret": "wrong-secret"}}, 401, "unauthorized_client"),
    "a wrong client": ({"data": FORM | {"client_id": "wrong-client"}}, 401, "unauthorized_client"),
}


@pytest.mark.parametrize(("sent", "status", "error"), REFUSED.values(), ids=REFUSED)
async def test_refuses(client: Client, sent: dict[str, Any], status: int, error: str) -> None:
    reply = await client.request("POST", TOKEN, **sent)
    assert (reply.status, reply.json()["error"]) == (status, error)
    stats = await client.stats()
    assert (stats["logins"], stats["logins_failed"]) == (1, 1)


async def test_an_unknown_realm(client: Client) -> None:
    reply = await client.login("no-such-realm")
    assert (reply.status, reply.json()) == (404, {"error": "Realm does not exist"})


async def test_a_token_opens_the_chat_for_its_account(client: Client) -> None:
    assert (await client.chat(key=await client.token())).status == 200
    (exchange,) = await client.requests()
    assert (exchange["realm"], exchange["client_id"]) == ("acme", "some-client")


async def test_a_token_expires(client: Client) -> None:
    await client.settings(token_lifetime_s=0.05)
    token = await client.token()
    assert (await client.chat(key=token)).status == 200
    await asyncio.sleep(0.06)
    assert (await client.chat(key=token)).status == 401


async def test_the_answer_says_how_long_a_token_lives(client: Client) -> None:
    await client.settings(token_lifetime_s=60)
    assert (await client.login()).json()["expires_in"] == 60
    await client.settings(expires_in=False)
    assert "expires_in" not in (await client.login()).json()


async def test_revoked_tokens_are_refused_until_the_next_login(client: Client) -> None:
    token = await client.token()
    assert (await client.request("POST", "/_simulator/revoke")).status == 200
    assert (await client.chat(key=token)).status == 401
    assert (await client.chat(key=await client.token())).status == 200


async def test_logins_can_be_made_to_fail(client: Client) -> None:
    await client.settings(login_failure_status=503)
    assert (await client.login()).status == 503
    await client.settings(login_failure_status=None)
    assert (await client.login()).status == 200


async def test_slow_logins_are_counted_together(client: Client) -> None:
    await client.settings(login_delay_s=0.05)
    started = now()
    await asyncio.gather(*(client.login() for _ in range(3)))
    assert took(started) >= 0.05
    stats = await client.stats()
    assert (stats["logins"], stats["concurrent_logins"], stats["concurrent_logins_max"]) == (3, 0, 3)
