"""A receiver of traces, and a proxy that sends them there."""

from collections.abc import Iterator

import pytest

from tests.support.collector import Collector
from tests.support.processes import CREDENTIALS, Proxy, StandIn
from tests.support.provider.process import Provider

SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
MODELS = """\
model_list:
  - model_name: agent
    litellm_params: {{model: stackspot/agent}}
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4, api_base: "{base}", api_key: os.environ/KEY}}
  - model_name: gone
    litellm_params: {{model: openai/gone, api_base: "http://127.0.0.1:1/v1", api_key: os.environ/KEY}}
router_settings: {{num_retries: 1, allowed_fails: 1000, fallbacks: [{{gone: [gpt]}}]}}
"""
PLANTED_KEY = "planted-provider-key"


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    process = Collector(tmp_path_factory.mktemp("collector"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def traced(
    stand_in: StandIn, provider: Provider, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy whose traces go to the collector, without texts."""
    folder = tmp_path_factory.mktemp("traced")
    (folder / "config.yaml").write_text(MODELS.format(base=provider.base_url))
    env = {"KEY": PLANTED_KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url} | SOON
    process = Proxy(env=CREDENTIALS | stand_in.env | env, cwd=folder)
    yield process
    assert process.stop() == 0
