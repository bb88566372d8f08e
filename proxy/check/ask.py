"""Asks every model of the configuration, each entry by itself, on the way that callers' requests take."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import orjson

from proxy.check.outcome import Check, CheckFailed, Outcome, one_line, run_all
from proxy.config import Config, Model
from proxy.local import Client, serving

AT_ONCE = 8
SHOWN = 60  # characters of an answer
PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Prompt:
    """``name`` tells it from others, and is empty where there is only one."""

    name: str
    text: str


HELLO = Prompt("", "Answer with one word: ready")


async def ask_all(config: Config, prompts: Sequence[Prompt]) -> AsyncIterator[Outcome]:
    """One answer of every entry to every prompt."""
    alone = apart(config)
    async with serving(alone) as local:
        checks = [
            Check(f"model {model.name}{prompt.name and f', {prompt.name}'}", partial(_ask, local, model, prompt))
            for prompt in prompts
            for model in alone.models
        ]
        async for outcome in run_all(checks, at_once=min(AT_ONCE, config.limits.max_streams)):
            yield outcome


def apart(config: Config) -> Config:
    """The same with every entry under a name of its own and nobody to stand in for it: which entry answers is
    then certain. Nothing of it is recorded or traced."""
    named = zip(config.models, names(config), strict=True)
    models = tuple(replace(model, name=name, aliases=()) for model, name in named)
    routing = replace(config.routing, fallbacks={})
    return replace(config, models=models, routing=routing, run_records=None, capture=None, otel={})


def names(config: Config) -> list[str]:
    """Of the entries, in order: those that share one are numbered."""
    shared = Counter(model.name for model in config.models)
    seen: Counter[str] = Counter()
    found = []
    for model in config.models:
        seen[model.name] += 1
        found.append(f"{model.name} #{seen[model.name]}" if shared[model.name] > 1 else model.name)
    return found


async def _ask(local: Client, model: Model, prompt: Prompt) -> str:
    body = {"model": model.name, "messages": [{"role": "user", "content": prompt.text}]}
    async with local.post(PATH, body, f"check-{uuid4().hex}") as response:
        answer = orjson.loads(await response.read())
    if response.status != 200:
        error = answer["error"]
        raise CheckFailed(f"{error['message']} ({error['code'] or response.status})")
    return quoted(answer["choices"][0]["message"].get("content") or "")


def quoted(text: str) -> str:
    """The first words of an answer."""
    words = one_line(text)
    return f'"{words[:SHOWN]}{"..." if len(words) > SHOWN else ""}"'
