"""The built-in answer: what the stand-in says to a prompt that no script covers. Pure.

Offered tools, it calls the one that fits best; given a result, it says what the result was; asked for JSON,
it writes JSON; otherwise it quotes what it was told.
"""

import re
import unicodedata

import orjson

from .prompt import Prompt, Tool, read_prompt
from .schema_sample import Hints, sample

_WORD = re.compile(r"[^\W_]{3,}")
_MUST_CALL = re.compile(r"must call ([^.;\n]*)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
ANY_OBJECT = {"type": "object", "required": ["answer"]}
_RESULT_CHARACTERS = 4000
_QUOTE_CHARACTERS = 400


def reply(text: str) -> str:
    prompt = read_prompt(text)
    if prompt.tools and not prompt.results:
        return call(prompt)
    if prompt.format_schema is not None:
        return orjson.dumps(sample(prompt.format_schema or ANY_OBJECT, Hints(prompt.user))).decode()
    if prompt.results:
        return f"Here is what I found: {_short(' and '.join(prompt.results), _RESULT_CHARACTERS)}"
    return (
        f"Hello! You wrote: “{_short(prompt.user, _QUOTE_CHARACTERS)}” I am the StackSpot simulator, so this "
        "is a made-up answer that arrives word by word, just as an agent's would. Offer me a tool and I will "
        "call it; give me its result and I will tell you what it says."
    )


def call(prompt: Prompt) -> str:
    """A tool call in the format that the prompt shows."""
    tool = choose(prompt)
    arguments = sample({"type": "object", **tool.parameters}, Hints(prompt.user))
    start, end = (f"FUNCTION_CALL_{edge}{prompt.marker_suffix}" for edge in ("START", "END"))
    return f"{start}\n{tool.name}\narguments: {orjson.dumps(arguments).decode()}\n{end}"


def choose(prompt: Prompt) -> Tool:
    """Of the tools that must be called, else of all, the one that shares most words with the user's text."""
    demanded = " ".join(_MUST_CALL.findall(prompt.reminder))
    named = [tool for tool in prompt.tools if re.search(rf"\b{re.escape(tool.name)}\b", demanded)]
    said = words(prompt.user)

    def fit(tool: Tool) -> int:
        return 2 * len(said & words(tool.name)) + len(said & words(tool.description))

    return max(named or prompt.tools, key=fit)


def words(text: str) -> set[str]:
    """The words of a text or an identifier, without case and accents."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", text))
    return set(_WORD.findall("".join(c for c in plain if not unicodedata.combining(c)).casefold()))


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + "…"
