"""A proxy before the raw upstream, and callers who can tell their own answers from those of others."""

from pathlib import Path

import httpx

from tests.faults.hostile.upstream import Upstream
from tests.support.chat import PATH
from tests.support.processes import CREDENTIALS, Proxy

REST_S = 1.05
"""Seconds after which a connection is used again."""
CONFIG = """\
model_list:
  - {{model_name: agent, litellm_params: {{model: stackspot/agent, ssl_verify: false}}}}
  - {{model_name: gpt, litellm_params: {{model: openai/gpt, api_base: "{url}/v1", api_key: k, ssl_verify: false}}}}
router_settings: {{num_retries: {retries}, allowed_fails: 1000000}}
"""
MODELS = [("agent", True), ("agent", False), ("gpt", True), ("gpt", False)]


def start(upstream: Upstream, folder: Path, retries: int = 0) -> Proxy:
    (folder / "config.yaml").write_text(CONFIG.format(url=upstream.url, retries=retries), encoding="utf-8")
    here = {"STACKSPOT_IDM_URL": upstream.url, "STACKSPOT_API_URL": upstream.url}
    return Proxy(env=CREDENTIALS | here | {"RENEWAL_S": "0"}, cwd=folder, module="tests.faults.telling")


def ask(proxy: Proxy, caller: str, model: str = "gpt", streamed: bool = False, text: str = "Hi") -> httpx.Response:
    body = {"model": model, "stream": streamed, "messages": [{"role": "user", "content": text}]}
    return proxy.client.post(PATH, headers={"correlation-id": caller}, json=body)


def is_answer_of(caller: str, reply: httpx.Response) -> bool:
    """A whole answer, and the words of no other caller's."""
    texts = reply.text.count("private answer of ")
    return reply.status_code == 200 and texts == 1 and f"private answer of {caller}" in reply.text
