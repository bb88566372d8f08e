"""What can be configured, and the defaults. Times are in seconds unless a name says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MASTER = "master"
"""The name of the master key, where callers' keys have names."""


DEFAULTS = "defaults"
"""The source of a configuration without a file."""


class ConfigError(Exception):
    """The configuration cannot be used; the message says what, where and what to do."""


SESSION_SOURCES = (
    "x-claude-code-session-id",
    "session-id",
    "metadata.session_id",
    "session_id",
    "x-session-id",
    "litellm_session_id",
    "metadata.user_id",
    "prompt_cache_key",
)
"""What clients send by themselves as their session: Claude Code, Codex, OpenCode, LiteLLM and others."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """``also_accept`` names headers and fields of the body that hold a client's session id. They count where
    ``header`` is absent: the headers among them in order, then the fields in order."""

    header: str = "correlation-id"
    required: bool = True
    also_accept: tuple[str, ...] = SESSION_SOURCES


@dataclass(frozen=True, slots=True)
class Timeouts:
    connect: float = 5
    first_token: float = 180
    idle: float = 60
    write_stall: float = 30
    request_body: float = 30
    total: float = 900


@dataclass(frozen=True, slots=True)
class Limits:
    max_body_mb: float = 10
    max_streams: int = 1000
    max_connections: int = 4000


@dataclass(frozen=True, slots=True)
class Quota:
    """What one StackSpot account (realm and client id) is asked for at most, all agents together.

    ``queue_timeout`` is how long a request may wait for its turn.
    """

    requests_per_minute: int = 90
    max_concurrent: int = 8
    queue_timeout: float = 60


@dataclass(frozen=True, slots=True)
class Routing:
    """``max_upstream_calls`` is the ceiling for one caller's request: retries, repairs, fallbacks together.
    Retries leave one call for each fallback.

    A deployment that fails more than ``allowed_fails`` times in a row is left alone for ``cooldown_time``.
    """

    num_retries: int = 2
    max_upstream_calls: int = 4
    allowed_fails: int = 3
    cooldown_time: float = 5
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names to try, in order, when all deployments of a name have failed."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller's key. ``models`` are the names it may use, all if none are given."""

    name: str
    key: str = field(repr=False)
    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    keep_text: bool = False
    stream_arguments: bool = False
    max_arguments_kb: int = 1024
    reasoning: Literal["drop", "show"] = "drop"
    """What becomes of the text between reasoning tags in an answer for which tools are offered."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Answers that are given again to the same request: those of ``models``, names or patterns of them. The bounds are
    those of all answers together, and ``max_answer_kb`` that of one."""

    models: tuple[str, ...] = ()
    ttl_s: float = 300
    max_mb: float = 64
    max_entries: int = 10_000
    max_answer_kb: float = 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate with its chain, and its key."""

    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class Admin:
    """Where operators' routes are, if not where callers' are."""

    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of ``model_list``. ``target`` is what stands behind the provider's name in ``model``."""

    name: str
    provider: str
    target: str
    aliases: tuple[str, ...] = ()
    weight: float = 1
    """Its part of the load among the entries of one name."""
    agent_id: str | None = None
    realm: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    ssl_verify: bool | str = True
    """False, or the path of a bundle of certificates to trust."""
    collect: bool = False
    """Stream from the provider also for callers who do not stream."""
    end_marker: Literal["required", "optional"] = "required"
    conversation: Literal["correlation-id"] | None = None
    path: str = field(default="", compare=False)
    """Where its parameters stand in the file, as in ``origins``; empty for one of the environment."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the proxy is told. ``origins`` says of every setting by its path where its value came from."""

    models: tuple[Model, ...]
    host: str = "127.0.0.1"
    port: int = 4000
    demo: bool = False
    idm_url: str = "https://idm.stackspot.com"
    api_url: str = "https://genai-inference-app.stackspot.com"
    master_key: str | None = field(default=None, repr=False)
    log_level: str = "INFO"
    log_format: Literal["json", "console", "auto"] = "auto"
    log_messages: bool = False
    correlation: Correlation = Correlation()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    keepalive_s: float = 15
    commit_after: float = 45
    drain_timeout: float = 30
    strict_params: bool = False
    enforce_max_tokens: bool = False
    routing: Routing = Routing()
    quota: Quota | None = None
    """None is no limit; a refusal of StackSpot's still makes everybody wait."""
    tools: Tools = Tools()
    api_keys: tuple[ApiKey, ...] = ()
    cache: Cache = Cache()
    tls: Tls | None = None
    admin: Admin | None = None
    redis_url: str | None = field(default=None, repr=False)
    page: bool = True
    """Whether there is a page at ``/``."""
    cors_origins: tuple[str, ...] = ()
    """The origins whose pages may call the proxy from a browser, beside its own."""
    allowed_hosts: tuple[str, ...] = ()
    """The public names under which a proxy without a key answers; ``*.example.com`` for all names below one."""
    validate_on_start: bool = False
    run_records: str | None = None
    """The folder for a record of each run; relative to the working directory."""
    capture: str | None = None
    """The folder for upstreams' streams as they came."""
    otel: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables of OpenTelemetry, by name; traces are sent where they say so."""
    source: str = DEFAULTS
    left_out: tuple[str, ...] = ()
    """The names and aliases of models that lack credentials."""
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    """What it was read from, by path, each with its digest as in ``proxy.config.files``."""

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return self.master_key is not None or bool(self.api_keys)
