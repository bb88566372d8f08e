"""Configuration: what loads, what stops the start, and what the message says."""

from pathlib import Path

import pytest

from proxy.config import Config, ConfigError, load
from proxy.config.environment import Environment
from proxy.config.settings import ApiKey, Quota, Routing
from tests.support.processes import CREDENTIALS, ROOT

STACKSPOT = "model_list:\n  - model_name: chat\n    litellm_params: {model: stackspot/agent}\n"
SEED = "model_list:\n  - model_name: stackspot-chat\n    litellm_params:\n      model: stackspot-chat\n      custom_llm_provider: stackspot\n"
CUSTOM = """\
model_list:
  - model_name: stackspot-chat
    litellm_params:
      model: my-custom-llm/stackspot-chat
litellm_settings:
  custom_provider_map:
    - {provider: my-custom-llm, custom_handler: custom_handler.my_custom_llm}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def from_text(text: str, env: dict[str, str] | None = None, **options: object) -> Config:
    file = Path("given.yaml")
    file.write_text(text, encoding="utf-8")
    return load(file, Environment(CREDENTIALS if env is None else env), **options)  # type: ignore[arg-type]


def test_the_shipped_file() -> None:
    config = load(ROOT / "config.yaml", Environment(CREDENTIALS))
    assert {
        "stackspot-ai-chat": ("stackspot", "stackspot-chat"),
        "stackspot-ai-code": ("stackspot-code",),
        "stackspot-ai-assistant": ("stackspot-assistant",),
    } == {model.name: model.aliases for model in config.models}
    assert {CREDENTIALS["GENAI_AGENT_ID"]} == {model.agent_id for model in config.models}
    assert () == config.warnings


def test_without_a_file_the_same_models_are_served() -> None:
    shipped = load(ROOT / "config.yaml", Environment(CREDENTIALS))
    assert shipped.models == load(None, Environment(CREDENTIALS)).models


def test_an_agent_of_its_own_for_a_model() -> None:
    config = load(ROOT / "config.yaml", Environment(CREDENTIALS | {"STACKSPOT_CODE_AGENT_ID": "01CODE"}))
    assert ["01JZ4M7Q2X9WB3TKD5R8VHNC6E", "01CODE"] == [model.agent_id for model in config.models[:2]]


@pytest.mark.parametrize("text", [SEED, CUSTOM], ids=["custom_llm_provider", "custom_provider_map"])
def test_files_of_litellm_users_load_unchanged(text: str) -> None:
    (model,) = from_text(text).models
    assert ("stackspot-chat", "stackspot", "stackspot-chat") == (model.name, model.provider, model.target)


def test_environment_references() -> None:
    text = STACKSPOT.replace("agent}", "agent, realm: os.environ/OTHER, client_secret: literal}")
    config = from_text(text, CREDENTIALS | {"OTHER": "other-realm"})
    assert ("other-realm", "literal") == (config.models[0].realm, config.models[0].client_secret)
    assert [
        "given.yaml:3: model_list[0].litellm_params.client_secret: a secret stands in the file; use os.environ/NAME"
    ] == list(config.warnings)
    assert "acme" == from_text(text, CREDENTIALS).models[0].realm


def test_a_key_in_place_of_client_credentials() -> None:
    config = from_text(STACKSPOT, {"STACKSPOT_API_KEY": "k", "GENAI_AGENT_ID": "01"})
    assert ("k", None) == (config.models[0].api_key, config.models[0].client_id)


def test_secrets_from_mounted_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    env = {key: value for key, value in CREDENTIALS.items() if key != "CLIENT_SECRET"}
    config = from_text(STACKSPOT, env | {"CLIENT_SECRET_FILE": str(tmp_path / "secret"), "CLIENT_SECRET": ""})
    assert "from-file" == config.models[0].client_secret
    with pytest.raises(ConfigError, match=r"CLIENT_SECRET_FILE: .*gone cannot be read"):
        from_text(STACKSPOT, env | {"CLIENT_SECRET_FILE": "gone"})


def test_dotenv_is_weaker_than_the_environment() -> None:
    environment = Environment({"REALM": "real", "CLIENT_ID": ""}, {"REALM": "dot", "CLIENT_ID": "dot-client"})
    assert ("real", "dot-client") == (environment("REALM"), environment("CLIENT_ID"))


def test_flags_win() -> None:
    env = CREDENTIALS | {"PROXY_PORT": "5000", "PROXY_HOST": "0.0.0.0"}
    assert ("0.0.0.0", 5000) == (from_text(STACKSPOT, env).host, from_text(STACKSPOT, env).port)
    config = from_text(STACKSPOT, env, port=6000, host="::1")
    assert ("::1", 6000, "flag") == (config.host, config.port, config.origins["port"])


def test_settings() -> None:
    config = from_text(
        STACKSPOT
        + "proxy:\n  correlation: {header: x-id, required: false}\n  timeouts: {idle: 1.5}\n  limits: {max_streams: 7}\n"
        "  keepalive_s: 3\n  tools: {keep_text: true, reasoning: show}\n"
    )
    assert ("x-id", False) == (config.correlation.header, config.correlation.required)
    assert (1.5, 5) == (config.timeouts.idle, config.timeouts.connect)
    assert "show" == config.tools.reasoning
    assert (7, 3, True) == (config.limits.max_streams, config.keepalive_s, config.tools.keep_text)
    assert "given.yaml:6" == config.origins["proxy.timeouts.idle"]


def test_secrets_do_not_show() -> None:
    assert CREDENTIALS["CLIENT_SECRET"] not in repr(from_text(STACKSPOT))


WRONG = {
    "an unknown key": (STACKSPOT + "proxy: {timeout: {}}\n", "given.yaml:4: proxy.timeout: unknown key; did you mean 'timeouts'?"),
    "an unknown key at the top": (STACKSPOT + "models: []\n", "given.yaml:4: models: unknown key"),
    "an unknown parameter": (STACKSPOT.replace("agent}", "agent, agent_idd: x}"), "did you mean 'agent_id'?"),
    "a key twice": (STACKSPOT + "proxy: {keepalive_s: 1, keepalive_s: 2}\n", "given.yaml:4: proxy: the key 'keepalive_s' stands here twice"),
    "no YAML": ("model_list: [", "given.yaml:1: not valid YAML"),
    "a text for a number": (STACKSPOT + "proxy: {keepalive_s: soon}\n", "given.yaml:4: proxy.keepalive_s: a number is expected here, not 'soon'"),
    "a negative time": (STACKSPOT + "proxy: {keepalive_s: -1}\n", "-1 is too small"),
    "a text for a flag": (STACKSPOT + "proxy: {strict_params: maybe}\n", "true or false is expected here, not 'maybe'"),
    "a word that is none of those": (STACKSPOT + "proxy: {tools: {reasoning: keep}}\n", "given.yaml:4: proxy.tools.reasoning: one of drop, show is expected here, not 'keep'"),
    "a header's name": (STACKSPOT + "proxy: {correlation: {header: 'a b'}}\n", "a header's name is expected here, not 'a b'"),
    "a list for a mapping": (STACKSPOT + "proxy: []\n", "given.yaml:4: proxy: a mapping is expected here"),
    "a mapping for a list": ("model_list: {}\n", "given.yaml:1: model_list: a list is expected here"),
    "no name": ("model_list:\n  - litellm_params: {model: stackspot/x}\n", "given.yaml:2: model_list[0]: model_name is missing"),
    "no model": ("model_list:\n  - {model_name: x, litellm_params: {}}\n", "model is missing"),
    "an unknown provider": ("model_list:\n  - {model_name: x, litellm_params: {model: bedrock/x}}\n", "'bedrock' is not known here; known are fireworks_ai, groq, openai, stackspot"),
    "an alias of two models": ("model_list:\n  - {model_name: a, aliases: [x], litellm_params: {model: stackspot/x}}\n  - {model_name: b, aliases: [x], litellm_params: {model: stackspot/x}}\n", "the name 'x' is given to more than one model: 'a' and 'b'"),
    "a fallback that is not there": (STACKSPOT + "router_settings: {fallbacks: [{chat: [chatt]}]}\n", "given.yaml:4: router_settings.fallbacks[0].chat[0]: there is no model 'chatt'; did you mean 'chat'?"),
    "fallbacks of nobody": (STACKSPOT + "router_settings: {fallbacks: [{x: [chat]}]}\n", "there is no model 'x'; known are chat"),
    "its own fallback": (STACKSPOT + "router_settings: {fallbacks: [{chat: [chat]}]}\n", "a model cannot be its own fallback"),
    "half a retry": (STACKSPOT + "router_settings: {num_retries: 1.5}\n", "router_settings.num_retries: a whole number is expected here, not 1.5"),
    "an unknown strategy": (STACKSPOT + "router_settings: {routing_strategy: round-robin}\n", "given.yaml:4: router_settings.routing_strategy: one of simple-shuffle"),
    "no calls at all": (STACKSPOT + "router_settings: {max_upstream_calls: 0}\n", "0 is too small; at least 1"),
    "half a stream": (STACKSPOT + "proxy: {limits: {max_streams: 1.5}}\n", "a whole number is expected here, not 1.5"),
    "an unknown key of the quota": (STACKSPOT + "proxy: {quota: {rpm: 3}}\n", "given.yaml:4: proxy.quota.rpm: unknown key"),
    "a caller's key without a name": (STACKSPOT + "proxy: {api_keys: [{key: k}]}\n", "given.yaml:4: proxy.api_keys[0]: name is missing"),
    "a caller's key that is not set": (STACKSPOT + "proxy:\n  api_keys:\n    - {name: a, key: os.environ/NOPE}\n", "given.yaml:6: proxy.api_keys[0]: key is missing: NOPE is not set"),
    "one name for two keys": (STACKSPOT + "proxy: {api_keys: [{name: a, key: k}, {name: a, key: l}]}\n", "the name 'a' is given to two keys"),
    "one key for two names": (STACKSPOT + "proxy: {api_keys: [{name: a, key: k}, {name: b, key: k}]}\n", "'b' has the same key as 'a'"),
    "no models": ("model_list: []\n", "no model is configured"),
    "an origin with a path": (STACKSPOT + "proxy: {cors_origins: ['https://a.example/x']}\n", "given.yaml:4: proxy.cors_origins[0]: an origin such as https://app.example.com is expected here"),
    "all origins": (STACKSPOT + "proxy: {cors_origins: ['*']}\n", "not '*'"),
    "the origin null": (STACKSPOT + "proxy: {cors_origins: ['null']}\n", "given.yaml:4: proxy.cors_origins[0]: an origin such as https://app.example.com is expected here, not 'null'"),
    "the origin null, without quotes": (STACKSPOT + "proxy: {cors_origins: [null]}\n", "not 'null'"),
    "all hosts": (STACKSPOT + "proxy: {allowed_hosts: ['*']}\n", "given.yaml:4: proxy.allowed_hosts[0]: a name such as llm.example.com or *.example.com is expected here, not '*'"),
    "all hosts of a top-level domain": (STACKSPOT + "proxy: {allowed_hosts: ['*.com']}\n", "not '*.com'"),
    "a host with a star inside": (STACKSPOT + "proxy: {allowed_hosts: ['llm*.example.com']}\n", "not 'llm*.example.com'"),
    "a host with a port": (STACKSPOT + "proxy: {allowed_hosts: ['llm.example.com:443']}\n", "not 'llm.example.com:443'"),
    "a URL for a host": (STACKSPOT + "proxy: {allowed_hosts: ['https://llm.example.com']}\n", "not 'https://llm.example.com'"),
    "one host and no list": (STACKSPOT + "proxy: {allowed_hosts: llm.example.com}\n", "a list is expected here"),
    "a key for a correlation id": (STACKSPOT + "proxy: {correlation: {also_accept: [x-api-key]}}\n", "the header 'x-api-key' has a meaning of its own"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line(case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(ConfigError) as refused:
        from_text(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"), [("PROXY_PORT", "http"), ("PROXY_PORT", "70000"), ("LOG_LEVEL", "LOUD"), ("LOG_FORMAT", "xml"), ("STACKSPOT_API_URL", "host")]
)  # fmt: skip
def test_wrong_variables_are_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        from_text(STACKSPOT, CREDENTIALS | {name: value})


def test_a_named_file_must_be_usable_as_a_whole() -> None:
    env = {key: value for key, value in CREDENTIALS.items() if key not in ("REALM", "CLIENT_SECRET")}
    with pytest.raises(ConfigError) as refused:
        from_text(STACKSPOT, env)
    assert "model 'chat' has no realm (REALM), client_secret (CLIENT_SECRET)" in str(refused.value)
    assert "--demo" in str(refused.value)
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load(Path("gone.yaml"), Environment(CREDENTIALS))


def test_in_the_default_file_a_model_without_credentials_is_left_out() -> None:
    other = "  - {model_name: other, litellm_params: {model: stackspot/x, realm: r, client_id: c, client_secret: s, agent_id: a}}\n"
    Path("config.yaml").write_text(STACKSPOT + other)
    config = load(None, Environment({}))
    assert ["other"] == [model.name for model in config.models]
    assert any("'chat' has no agent_id (GENAI_AGENT_ID)" in warning for warning in config.warnings)


def test_with_nothing_to_serve_the_start_stops_with_what_to_set() -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, Environment({}))
    for hint in ("CLIENT_ID", "CLIENT_SECRET", "REALM", "GENAI_AGENT_ID", "--demo"):
        assert hint in str(refused.value)


def test_a_demo_needs_nothing() -> None:
    assert 3 == len(load(None, Environment({}), demo=True).models)


def test_keys_of_litellm_without_meaning_are_warnings() -> None:
    text = (
        STACKSPOT.replace("agent}", "agent, rpm: 10}")
        + "general_settings: {alerting: [slack]}\nlitellm_settings: {drop_params: true}\n"
    )
    warnings = from_text(text).warnings
    assert [True] * 3 == [
        any(key in warning for warning in warnings) for key in ("rpm", "alerting", "litellm_settings")
    ]


PROVIDERS = """\
model_list:
  - model_name: chat/llama-small
    litellm_params: {model: groq/llama-3.1-8b-instant, api_key: os.environ/GROQ_API_KEY}
  - model_name: qwen
    litellm_params: {model: fireworks_ai/accounts/fireworks/models/qwen}
  - model_name: gpt
    litellm_params: {model: gpt-4}
  - model_name: XYZ
    litellm_params: {model: openai/XYZ, api_base: https://llm.example.internal/v1/, api_key: os.environ/LLM_API_KEY, ssl_verify: false}
  - model_name: local
    litellm_params: {model: openai/tiny, api_base: http://127.0.0.1:8080/v1}
"""
KEYS = {"GROQ_API_KEY": "g", "FIREWORKS_AI_API_KEY": "f", "OPENAI_API_KEY": "o", "LLM_API_KEY": "l"}


def test_openai_compatible_providers() -> None:
    models = from_text(PROVIDERS, KEYS).models
    assert [
        ("chat/llama-small", "groq", "llama-3.1-8b-instant", None, "g", True),
        ("qwen", "fireworks_ai", "accounts/fireworks/models/qwen", None, "f", True),
        ("gpt", "openai", "gpt-4", None, "o", True),
        ("XYZ", "openai", "XYZ", "https://llm.example.internal/v1", "l", False),
        ("local", "openai", "tiny", "http://127.0.0.1:8080/v1", None, True),
    ] == [(m.name, m.provider, m.target, m.api_base, m.api_key, m.ssl_verify) for m in models]


def test_a_key_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'chat/llama-small' has no api_key \(GROQ_API_KEY\)"):
        from_text(PROVIDERS, {})
    Path("config.yaml").write_text(PROVIDERS)
    config = load(None, Environment({}))
    assert ["local"] == [model.name for model in config.models]
    assert 4 == sum("is left out" in warning for warning in config.warnings)


MODELS_JSON = """{
  "aliases": {
    "chat/llama-small": {"provider": "groq", "model": "llama-3.1-8b-instant"},
    "chat/qwen-small": {"provider": "fireworks_ai", "model": "accounts/fireworks/models/qwen2p5-vl-32b-instruct"}
  }
}"""


def test_a_models_json() -> None:
    models = from_text(MODELS_JSON, KEYS).models
    assert [
        ("chat/llama-small", "groq", "llama-3.1-8b-instant", "g"),
        ("chat/qwen-small", "fireworks_ai", "accounts/fireworks/models/qwen2p5-vl-32b-instruct", "f"),
    ] == [(m.name, m.provider, m.target, m.api_key) for m in models]
    with pytest.raises(ConfigError, match=r"given.yaml:3: .*the provider 'bedrock' is not known"):
        from_text(MODELS_JSON.replace('"groq"', '"bedrock"'), KEYS)


LLM = {"LLM_ENABLED": "true", "LLM_API_ENDPOINT": "https://your-org.example/v1", "LLM_API_KEY": "k", "LLM_MODEL": "XYZ"}


def test_variables_alone_are_an_endpoint() -> None:
    Path("config.yaml").write_text("")
    config = load(None, Environment(LLM | {"LLM_VERIFY_SSL": "false"}))
    (model,) = config.models
    assert ("XYZ", "openai", "https://your-org.example/v1", "k", False, True) == (
        model.name, model.provider, model.api_base, model.api_key, model.ssl_verify, model.collect,
    )  # fmt: skip


def test_the_endpoint_is_added_to_what_the_file_lists() -> None:
    assert ["chat", "XYZ"] == [model.name for model in from_text(STACKSPOT, CREDENTIALS | LLM).models]
    assert ["XYZ"] == [model.name for model in load(None, Environment(LLM)).models]
    assert ["chat"] == [model.name for model in from_text(STACKSPOT, CREDENTIALS | LLM | {"LLM_ENABLED": ""}).models]


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"LLM_MODEL": ""}, "LLM_ENABLED is set, but not LLM_MODEL"),
        ({"LLM_ENABLED": "perhaps"}, "LLM_ENABLED: true or false is expected here"),
        ({"LLM_API_ENDPOINT": "llm.example"}, "LLM_API_ENDPOINT: a URL"),
    ],
)
def test_an_endpoint_that_is_not_all_there(env: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(None, Environment(LLM | env))


def test_a_bundle_of_certificates_must_be_one() -> None:
    text = PROVIDERS.replace("ssl_verify: false", "ssl_verify: gone.pem")
    with pytest.raises(ConfigError, match=r"given.yaml:9: .*ssl_verify: the certificates in 'gone.pem' cannot be used"):
        from_text(text, KEYS)


def test_a_literal_master_key_is_warned_of() -> None:
    (warning,) = from_text(STACKSPOT + "general_settings: {master_key: literal}\n").warnings
    assert "given.yaml:4: general_settings.master_key: a secret stands in the file" in warning


def test_a_time_out_of_nothing_is_none() -> None:
    with pytest.raises(ConfigError, match="too small"):
        from_text(STACKSPOT + "proxy: {timeouts: {idle: 0}}\n")


def test_what_is_left_out_of_the_router_takes_its_default() -> None:
    assert Routing() == from_text(STACKSPOT).routing
    assert (2, 4, 3, 5, {}) == (Routing().num_retries, Routing().max_upstream_calls, Routing().allowed_fails, Routing().cooldown_time, Routing().fallbacks)  # fmt: skip


def test_the_router() -> None:
    more = "  - {model_name: other, aliases: [o], litellm_params: {model: openai/x, api_base: 'http://x', weight: 3}}\n"
    config = from_text(
        STACKSPOT
        + more
        + "router_settings:\n  routing_strategy: simple-shuffle\n  num_retries: 1\n  fallbacks: [{chat: [o]}]\n"
        + "  allowed_fails: 0\n  cooldown_time: 0.5\n  timeout: 30\n"
    )
    assert Routing(num_retries=1, fallbacks={"chat": ("other",)}, allowed_fails=0, cooldown_time=0.5) == config.routing
    assert [1, 3] == [model.weight for model in config.models]
    assert ("given.yaml:11: router_settings.timeout: LiteLLM's; it has no meaning here",) == config.warnings
    assert "given.yaml:7" == config.origins["router_settings.num_retries"]


def test_strategies_of_litellm_are_one_warning() -> None:
    (warning,) = from_text(STACKSPOT + "router_settings: {routing_strategy: least-busy}\n").warnings
    assert "least-busy is LiteLLM's; here it is simple-shuffle" in warning


def test_fallbacks_beyond_the_ceiling_are_a_warning() -> None:
    more = "".join(
        f"  - {{model_name: m{n}, litellm_params: {{model: openai/x, api_base: 'http://x'}}}}\n" for n in range(2)
    )
    (warning,) = from_text(
        STACKSPOT + more + "router_settings: {max_upstream_calls: 2, fallbacks: [{chat: [m0, m1]}]}\n"
    ).warnings
    assert "max_upstream_calls: 2 does not reach the last of 2 fallbacks" in warning


def test_a_fallback_without_credentials_is_left_out_with_its_model() -> None:
    more = "  - {model_name: other, litellm_params: {model: groq/x}}\n"
    Path("config.yaml").write_text(STACKSPOT + more + "router_settings: {fallbacks: [{chat: [other]}]}\n")
    assert {"chat": ()} == load(None, Environment(CREDENTIALS)).routing.fallbacks


def test_entries_of_one_name_share_it() -> None:
    config = from_text(STACKSPOT + STACKSPOT.partition("\n")[2].replace("agent}", "agent, realm: other}"))
    assert [("chat", "acme"), ("chat", "other")] == [(model.name, model.realm) for model in config.models]


def test_the_quota_is_off_until_it_is_configured() -> None:
    assert from_text(STACKSPOT).quota is None
    assert Quota() == from_text(STACKSPOT + "proxy: {quota: {}}\n").quota
    assert Quota(5, 8, 60) == from_text(STACKSPOT + "proxy: {quota: {requests_per_minute: 5}}\n").quota
    assert Quota(90, 8, 60) == load(ROOT / "config.yaml", Environment(CREDENTIALS)).quota
    assert load(ROOT / "config.yaml", Environment(CREDENTIALS), demo=True).quota is None


def test_the_page_and_other_origins() -> None:
    assert (True, ()) == (from_text(STACKSPOT).page, from_text(STACKSPOT).cors_origins)
    config = from_text(
        STACKSPOT + "proxy:\n  page: false\n  cors_origins: ['https://App.example.com/', http://localhost:5173]\n"
    )
    assert (False, ("https://app.example.com", "http://localhost:5173")) == (config.page, config.cors_origins)


def test_callers_keys() -> None:
    keys = "proxy:\n  api_keys:\n    - {name: a, key: os.environ/A, models: [chat, 'gpt-*'], requests_per_minute: 5}\n    - {name: b, key: plain}\n"
    config = from_text(STACKSPOT + keys, CREDENTIALS | {"A": "planted-key"})
    assert (ApiKey("a", "planted-key", ("chat", "gpt-*"), 5), ApiKey("b", "plain")) == config.api_keys
    assert "planted-key" not in repr(config)
    literal, unknown = config.warnings
    assert "given.yaml:7: proxy.api_keys[1].key: a secret stands in the file" in literal
    assert "proxy.api_keys: a: there is no model 'gpt-*'" == unknown


def test_the_address_of_redis() -> None:
    assert (
        "redis://:pw@host:6379/0"
        == from_text(STACKSPOT, CREDENTIALS | {"REDIS_URL": "redis://:pw@host:6379/0"}).redis_url
    )
    with pytest.raises(ConfigError, match="REDIS_URL") as refused:
        from_text(STACKSPOT, CREDENTIALS | {"REDIS_URL": "host:pw@6379"})
    assert "pw" not in str(refused.value)


def test_the_hosts_of_a_proxy_without_a_key() -> None:
    assert () == from_text(STACKSPOT).allowed_hosts
    listed = STACKSPOT + "proxy:\n  allowed_hosts: [LLM.example.com., '*.corp.example.com', os.environ/PUBLIC]\n"
    assert ("llm.example.com", "*.corp.example.com") == from_text(listed).allowed_hosts
    named = from_text(listed, CREDENTIALS | {"PUBLIC": "ai.example.com"})
    assert ("llm.example.com", "*.corp.example.com", "ai.example.com") == named.allowed_hosts


def test_default_ports_of_origins_do_not_count() -> None:
    origins = "['https://a.example:443', 'http://b.example:80/', 'https://c.example:80', 'http://[::1]:80']"
    assert ("https://a.example", "http://b.example", "https://c.example:80", "http://[::1]") == from_text(
        f"{STACKSPOT}proxy: {{cors_origins: {origins}}}\n"
    ).cors_origins
