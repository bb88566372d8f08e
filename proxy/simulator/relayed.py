"""POST /v1/chat/completions: what an OpenAI-compatible provider answered once, played again, and nothing else."""

from aiohttp import web

from .answering import answer
from .delivery import Delivery, of_recording, of_refusal
from .ledger import Exchange
from .refusals import Refusal
from .state import State

NOTHING = Refusal(404, {"error": {"message": "there are no captured streams of an OpenAI-compatible provider"}})


class Relayed:
    """Answers with the recordings in turn; any key will do."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await answer(request, self._state.ledger, self._decide)

    def _decide(self, exchange: Exchange, authorization: str) -> Delivery:
        others = self._state.others
        return of_recording(next(others)) if others else of_refusal(NOTHING)
