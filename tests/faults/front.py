"""Proxies before the raw upstream, which tell what they hold."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.caller import ask
from tests.faults.ground import Ground
from tests.faults.upstream import Exchange, Steps, Upstream
from tests.faults.wire import WAYS
from tests.support.processes import CREDENTIALS, Proxy

CONFIG = """\
model_list:
  - model_name: agent
    litellm_params: {{model: stackspot/agent}}
  - model_name: second
    litellm_params: {{model: stackspot/second, client_id: second}}
  - model_name: third
    litellm_params: {{model: stackspot/third, client_id: third}}
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{url}/v1", api_key: os.environ/KEY}}
router_settings: {{num_retries: 1, allowed_fails: 1000000}}
"""
HASTE = {"BACKOFF_S": "0.02", "PAUSE_S": "0.05", "RENEWAL_S": "0"}


@dataclass
class Scripts:
    """What requests are answered with, by their correlation id, in turn; the last stays."""

    _answers: dict[str, deque[Steps]] = field(default_factory=dict)

    def put(self, correlation_id: str, *answers: Steps) -> None:
        self._answers[correlation_id] = deque(answers)

    def __call__(self, exchange: Exchange) -> Steps:
        answers = self._answers[exchange.correlation_id]
        return answers.popleft() if len(answers) > 1 else answers[0]


@dataclass(frozen=True)
class Front:
    """A proxy before the raw upstream. ``ground`` is the state it had before anything went wrong."""

    proxy: Proxy
    upstream: Upstream
    ground: Ground
    scripts: Scripts


def start(url: str, folder: Path, more: str = "", **env: str) -> Proxy:
    """A proxy that takes what listens there for StackSpot and for a provider."""
    (folder / "config.yaml").write_text(CONFIG.format(url=url) + more)
    here = {"STACKSPOT_IDM_URL": url, "STACKSPOT_API_URL": url, "KEY": "planted-provider-key"}
    collected = {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": f"{url}/v1", "LLM_API_KEY": "k", "LLM_MODEL": "collected"}
    return Proxy(env=CREDENTIALS | here | collected | HASTE | env, cwd=folder, module="tests.faults.telling")


@contextmanager
def front_of(upstream: Upstream, scripts: Scripts, folder: Path, more: str = "", **env: str) -> Iterator[Front]:
    """A proxy that has answered once in every way."""
    proxy = start(upstream.url, folder, more, **env)
    try:
        for way in WAYS:
            scripts.put("warm", way.wire.whole())
            assert "abcdef" == ask(proxy.url, "warm", model=way.model, stream=way.streamed).text
        yield Front(proxy, upstream, Ground(proxy, upstream), scripts)
        assert "planted" not in proxy.output
    finally:
        code = proxy.stop()
    assert 0 == code
