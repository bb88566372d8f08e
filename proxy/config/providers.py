"""The OpenAI-compatible providers. A new one is a row."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenAICompatible:
    """``key_variable`` is the environment variable that the key defaults to."""

    api_base: str
    key_variable: str


OPENAI_COMPATIBLE = {
    "openai": OpenAICompatible("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "groq": OpenAICompatible("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "fireworks_ai": OpenAICompatible("https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
}
STACKSPOT = "stackspot"
PROVIDERS = (STACKSPOT, *OPENAI_COMPATIBLE)
