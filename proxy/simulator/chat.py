"""POST /v1/agent/{agent_id}/chat: checked as strictly as the service's own schema would."""

from dataclasses import dataclass

from aiohttp import web

from .answering import answer
from .delivery import Delivery, of_fixed, of_generation, of_raw, of_recording, of_refusal, of_whole
from .ledger import Exchange
from .persona import reply
from .refusals import NAMED, bad_request, context_length
from .script import Answer
from .state import State, ulid
from .strict import Invalid, read
from .wire import Generation, count_tokens

UNKNOWN_AGENT = "no-such-agent"
FORBIDDEN_AGENT = "forbidden-agent"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Every field that StackSpot has, and no other."""

    user_prompt: str
    streaming: bool = False
    stackspot_knowledge: bool = False
    return_ks_in_response: bool = False
    use_conversation: bool = False
    conversation_id: str | None = None
    upload_ids: tuple[str, ...] = ()
    deep_search_ks: bool = False
    knowledge_source_ids: tuple[str, ...] = ()
    agent_version_number: int | str | None = None
    selected_model: str | None = None


class Chat:
    """Answers chat requests out of the state's scripts and recordings, else as the persona would."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await answer(request, self._state.ledger, self._decide)

    def _decide(self, exchange: Exchange, authorization: str) -> Delivery:
        state, settings = self._state, self._state.settings
        account = state.tokens.account(authorization, exchange.arrived)
        if account is None:
            return of_refusal(NAMED["unauthorized"])
        exchange.realm, exchange.client_id = account.realm, account.client_id
        if not state.arrivals.admit(account, settings.rate_limit, exchange.arrived):
            state.ledger.rate_limited += 1
            return of_refusal(NAMED["rate_limited"])
        if exchange.agent_id == UNKNOWN_AGENT:
            return of_refusal(NAMED["not_found"])
        if exchange.agent_id == FORBIDDEN_AGENT:
            return of_refusal(NAMED["forbidden"])
        try:
            chat = read(ChatRequest, exchange.body)
        except Invalid as error:
            return of_refusal(bad_request(str(error)))
        used = count_tokens(chat.user_prompt)
        if settings.context_tokens is not None and used > settings.context_tokens:
            return of_refusal(context_length(settings.context_tokens, used))
        return self._answer(chat, exchange.correlation_id)

    def _answer(self, chat: ChatRequest, correlation_id: str | None) -> Delivery:
        state, settings = self._state, self._state.settings
        answer = state.scripts.take(correlation_id)
        if answer is None:
            if state.recordings is not None:
                return of_recording(next(state.recordings))
            answer = Answer()
        before_status_s = _first(answer.before_status_s, settings.before_status_s)
        if answer.is_fixed:
            return of_fixed(answer, before_status_s)
        if answer.raw is not None:
            return of_raw(answer, before_status_s)
        generation = Generation(
            answer,
            text=_text(answer, chat.user_prompt),
            prompt=chat.user_prompt,
            interval_s=_first(answer.interval_s, settings.interval_s),
            message_id=ulid(),
            conversation_id=chat.conversation_id or (ulid() if chat.use_conversation else None),
        )
        if chat.streaming:
            return of_generation(generation, before_status_s)
        return of_whole(generation, before_status_s)


def _first(scripted: float | None, otherwise: float) -> float:
    return otherwise if scripted is None else scripted


def _text(answer: Answer, prompt: str) -> str:
    if answer.deltas is not None:
        return ""
    return reply(prompt) if answer.text is None else answer.text
