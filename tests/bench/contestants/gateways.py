"""Gateways of the same kind as this proxy, between OpenAI-compatible sides."""

import secrets
import shutil

from tests.bench.contestants.contestant import PEERS, Contestant, Launch, Place

_LITELLM = PEERS / "litellm/bin/litellm"
_PORTKEY = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
_KEY = f"sk-{secrets.token_hex(32)}"  # LiteLLM does not start without one that callers have to send
_MODEL = (
    "  - model_name: {agent}\n    litellm_params: {{model: openai/{agent}, api_base: {upstream}/v1, api_key: any}}\n"
)


def _litellm(place: Place) -> Launch:
    models = "".join(_MODEL.format(agent=agent, upstream=place.upstream) for agent in place.agents)
    config = place.folder / "litellm.yaml"
    config.write_text(f"model_list:\n{models}litellm_settings: {{telemetry: false}}\n")
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
    return Launch(
        [str(_LITELLM), *options],
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": _KEY},
    )


def _portkey(place: Place) -> Launch:
    return Launch(["node", str(_PORTKEY), f"--port={place.port}", "--headless"])


def _portkey_headers(upstream: str) -> str:
    return f"authorization: Bearer any\r\nx-portkey-provider: openai\r\nx-portkey-custom-host: {upstream}/v1\r\n"


LITELLM = Contestant(
    "LiteLLM",
    _litellm,
    openai=True,
    headers=lambda upstream: f"authorization: Bearer {_KEY}\r\n",
    health="/health/liveliness",
    most_streams=20,  # with 50 its core is full, and its streams fall behind
    missing=None if _LITELLM.exists() else "LiteLLM is not installed",
)
PORTKEY = Contestant(
    "Portkey",
    _portkey,
    openai=True,
    headers=_portkey_headers,
    health="/",
    most_streams=100,
    missing=None if _PORTKEY.exists() and shutil.which("node") else "Portkey is not installed, or Node is not",
)
