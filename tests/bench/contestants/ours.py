"""The proxy under test, with everything switched on, and the baseline."""

import sys

from tests.bench.contestants.contestant import Contestant, Launch, Place

_STACKSPOT = "  - model_name: {agent}\n    litellm_params: {{model: stackspot/agent, agent_id: {agent}}}\n"
_OPENAI = (
    "  - model_name: relay/{agent}\n"
    "    litellm_params: {{model: openai/{agent}, api_base: {upstream}/v1, api_key: os.environ/BENCH_KEY}}\n"
)
_LIMITS = "proxy:\n  limits: {max_streams: 10000}\n"


def _proxy(place: Place) -> Launch:
    models = "".join(
        _STACKSPOT.format(agent=agent) + _OPENAI.format(agent=agent, upstream=place.upstream) for agent in place.agents
    )
    (place.folder / "config.yaml").write_text(f"model_list:\n{models}{_LIMITS}")
    command = [sys.executable, "-m", "proxy", "serve", "--config", "config.yaml", "--host", "127.0.0.1"]
    env = {
        "CLIENT_ID": "the-client",
        "CLIENT_SECRET": "the-secret",
        "REALM": "bench",
        "BENCH_KEY": "any",
        "STACKSPOT_IDM_URL": place.upstream,
        "STACKSPOT_API_URL": place.upstream,
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
    }
    return Launch([*command, "--port", str(place.port)], env)


def _passthrough(place: Place) -> Launch:
    return Launch([sys.executable, "-m", "tests.bench.passthrough", place.upstream, str(place.port)])


PROXY = Contestant("proxy", _proxy, openai=True)
"""StackSpot's stream in, OpenAI's out."""

RELAY = Contestant("proxy, relaying", _proxy, openai=True, prefix="relay/", inside=PROXY.name)
"""OpenAI's stream in and out, by the same process: what gateways between OpenAI-compatible sides do."""

PASSTHROUGH = Contestant("aiohttp, passing", _passthrough)
