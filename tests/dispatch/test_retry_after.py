"""A Retry-After of an upstream: how it is read, how long it cools a deployment, and that it shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.dispatch.retry_after import in_seconds
from tests.conftest import Launch
from tests.support.chat import ask
from tests.support.processes import Proxy
from tests.support.provider.process import Provider

NOW = 1_798_761_600.0  # Fri, 01 Jan 2027 00:00:00 GMT
FORMS = {
    "30": "30",
    " 30 ": "30",
    "1.5": "2",
    "0": None,
    "0.0": None,
    "-5": None,
    "86401": "86400",
    "9" * 60: "86400",
    "9" * 5000: None,
    "1e9": None,
    "inf": None,
    "nan": None,
    "": None,
    "soon": None,
    "٣": None,
    "Fri, 01 Jan 2027 00:00:30 GMT": "30",
    "Friday, 01-Jan-27 00:00:30 GMT": "30",
    "Fri Jan  1 00:00:30 2027": "30",
    "Fri, 01 Jan 2027 01:00:30 +0100": "30",
    "Fri, 01 Jan 2027 00:00:00 GMT": None,
    "Thu, 31 Dec 2026 23:59:59 GMT": None,
    "Fri, 31 Dec 9999 23:59:59 GMT": "86400",
    "Fri, 99 Jan 2027 00:00:30 GMT": None,
    "Fri, 01 Jan 99999999999 00:00:30 GMT": None,
}


@pytest.mark.parametrize("value", FORMS, ids=lambda value: value[:32] or "empty")
def test_its_forms(value: str) -> None:
    headers = in_seconds({"Retry-After": value, "X-Other": "kept"} | {"retry-after": value}, NOW)
    assert (FORMS[value], "kept") == (headers.get("retry-after"), headers["x-other"])


MODEL = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/one, api_base: "{base}", api_key: k}}
router_settings: {{num_retries: 0}}
{more}
"""


@pytest.fixture
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    process = Provider(tmp_path_factory.mktemp("provider"))
    yield process
    process.stop()


def cooling(proxy: Proxy) -> float:
    return proxy.metric("proxy_deployment_cooling_seconds", model="m", upstream="openai/one")


@pytest.mark.parametrize("wait", ["86400", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_five_minutes_at_most_shown_and_forgotten_at_reload(
    launch: Launch, provider: Provider, tmp_path: Path, correlation_id: str, wait: str
) -> None:
    proxy = launch(MODEL.format(base=provider.base_url, more=""))
    assert 0 == cooling(proxy)
    provider.script(correlation_id, {"status": 429, "headers": {"retry-after": wait}})
    assert 429 == ask(proxy, correlation_id, model="m").status_code
    assert 200 < cooling(proxy) <= 300
    changed = MODEL.format(base=provider.base_url, more="proxy: {keepalive_s: 14}")
    (tmp_path / "config.yaml").write_text(changed, encoding="utf-8")
    proxy.wait_event(20, event="config.reloaded")
    assert 0 == cooling(proxy)
