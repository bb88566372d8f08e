"""POST /{realm}/oidc/oauth/token: the client credentials grant, with Keycloak's answers."""

import asyncio
import time

from aiohttp import web

from .accounts import Account
from .state import State

UNKNOWN_REALM = "no-such-realm"
WRONG = {"client_id": "wrong-client", "client_secret": "wrong-secret"}


class Login:
    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, request: web.Request) -> web.Response:
        ledger = self._state.ledger
        with ledger.login():
            if self._state.settings.login_delay_s:
                await asyncio.sleep(self._state.settings.login_delay_s)
            response = await self._answer(request)
            ledger.logins_failed += response.status != 200
            return response

    async def _answer(self, request: web.Request) -> web.Response:
        settings = self._state.settings
        if request.content_type != "application/x-www-form-urlencoded":
            return _error(400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if "grant_type" not in form:
            return _error(400, "invalid_request", "Missing form parameter: grant_type")
        if form["grant_type"] != "client_credentials":
            return _error(400, "unsupported_grant_type", "Unsupported grant_type")
        for name in ("client_id", "client_secret"):
            if not form.get(name):
                return _error(400, "invalid_request", f"Missing form parameter: {name}")
        realm = request.match_info["realm"]
        if realm == UNKNOWN_REALM:
            return web.json_response({"error": "Realm does not exist"}, status=404)
        if settings.login_failure_status is not None:
            return _error(settings.login_failure_status, "unknown_error", "Consult the server log")
        if any(form[name] == value for name, value in WRONG.items()):
            return _error(401, "unauthorized_client", "Invalid client or Invalid client credentials")
        return self._issue(Account(realm, form["client_id"]))

    def _issue(self, account: Account) -> web.Response:
        lifetime_s = self._state.settings.token_lifetime_s
        now = time.monotonic()
        answer: dict[str, object] = {
            "access_token": self._state.tokens.issue(account, lifetime_s, now),
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": "email profile",
        }
        if self._state.settings.expires_in:
            answer["expires_in"] = int(lifetime_s) if lifetime_s.is_integer() else lifetime_s
        return web.json_response(answer)


def _error(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
