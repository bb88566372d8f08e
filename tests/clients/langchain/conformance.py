"""LangChain's published suite for chat models, run against the proxy in LangChain's own environment.

StackSpot reads text alone: the suite's properties for images, PDFs and audio stay off, as they are unless set. The
simulator answers as it does by itself, only faster; where the suite asks in words for certain keys, it is told what
a model would write.
"""

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.clients.langchain.support import Simulator, model_fields

AT_ONCE = {"interval_s": 0, "repeat": True}
JOKE = '{"setup": "Why do cats stream?", "punchline": "They hate waiting for the whole mouse."}'
ANSWERS = {"test_json_mode": {"text": JOKE}}


class TestChatOpenAI(ChatModelIntegrationTests):
    """The suite, with structured output by JSON schema, which is ChatOpenAI's own choice."""

    @pytest.fixture(autouse=True)
    def _answers(self, simulator: Simulator, request: pytest.FixtureRequest) -> None:
        self.simulator = simulator
        simulator.script(AT_ONCE | ANSWERS.get(request.node.originalname, {}))

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return model_fields(self.simulator)

    @property
    def model_override_value(self) -> str:
        return "stackspot-ai-code"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """StackSpot does not count them apart: the proxy says 0."""
        return ChatOpenAI(**{"streaming": stream} | self.chat_model_params).invoke("Hello")

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """The same."""
        return ChatOpenAI(**{"streaming": stream} | self.chat_model_params).invoke("Hello")


class TestStreaming(TestChatOpenAI):
    """The same suite with every answer streamed, also where it is asked for whole, and structured output by calls."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return super().chat_model_params | {"streaming": True}

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}
