"""Headers of responses are those of a list: whatever an upstream sends along stays with the proxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Launch
from tests.support.chat import PATH, body
from tests.support.provider.process import Provider

pytestmark = pytest.mark.slow

CONFIG = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/x, api_base: "{url}", api_key: k}}
router_settings: {{num_retries: 0}}
"""
ALLOWED = {
    *("content-type", "content-length", "transfer-encoding", "date", "server", "connection", "cache-control"),
    *("x-accel-buffering", "x-request-id", "correlation-id", "retry-after", "x-should-retry"),
    *("x-proxy-upstream-model", "x-proxy-ignored-params", "x-proxy-usage", "x-proxy-cache"),
}
THEIRS = {
    "set-cookie": "session=theirs",
    "server": "theirs",
    "x-request-id": "theirs",
    "x-internal": "theirs",
    "access-control-allow-origin": "theirs",
    "strict-transport-security": "theirs",
    "openai-organization": "theirs",
    "link": "theirs",
}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    process = Provider(tmp_path)
    yield process
    process.stop()


@pytest.mark.parametrize(
    "answer", [{"text": "Hi"}, {"status": 400, "body": '{"error": {"message": "no"}}'}, {"status": 503}]
)
@pytest.mark.parametrize("stream", [True, False])
def test_nothing_of_the_upstreams(launch: Launch, provider: Provider, stream: bool, answer: dict[str, object]) -> None:
    proxy = launch(CONFIG.format(url=provider.base_url))
    provider.script("*", answer | {"headers": THEIRS})
    reply = proxy.client.post(PATH, headers={"correlation-id": "c"}, json=body(model="m", stream=stream))
    assert {503: 502}.get(
        status := answer.get("status", 200), status
    ) == reply.status_code  # a draining proxy alone says 503
    assert set() == {name.lower() for name in reply.headers} - ALLOWED
    assert "theirs" not in str(reply.headers)
