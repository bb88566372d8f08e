"""The metrics by name, with labels and buckets. Dashboards and alerts go by them, so a name here is a promise."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from proxy.telemetry.output import LINES_LOST

DURATION = [0.01 * 2**n for n in range(16)]
FIRST_TOKEN = [.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160]  # fmt: skip
OVERHEAD = [5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5]
SIZE = [4**n for n in range(4, 13)]
TOKENS = [4**n for n in range(14)]
WAIT = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60, 120]
LOGIN = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
LAG = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

GEN_AI = ("gen_ai_operation_name", "gen_ai_system", "gen_ai_request_model")
"""OpenTelemetry's names for these labels, as its exporters write them for Prometheus."""


class Families:
    """Every metric of the proxy's own. Which labels there are is bounded by the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=tuple(buckets), registry=registry)

        self.requests = counter("proxy_requests_total", "Requests answered.", "route", "model", "status")
        self.failed = counter(
            "proxy_failed_requests_total", "Requests for an answer that failed, by whose fault.", "model", "source"
        )
        self.ends = counter("proxy_stream_ends_total", "How answers ended.", "model", "reason")
        self.streams = gauge("proxy_streams_in_flight", "Answers under way.")
        self.connections = gauge("proxy_connections", "Connections of callers, idle ones included.")
        self.connections_refused = counter(
            "proxy_connections_refused_total", "Connections that could not be accepted, or were one too many.", "reason"
        )
        self.duration = histogram(
            "proxy_request_duration_seconds", "Time from request to end of answer.", DURATION, "model", "stream"
        )
        self.first_token = histogram(
            "proxy_time_to_first_token_seconds", "Time from request to the first of the answer.", FIRST_TOKEN, "model"
        )
        self.overhead = histogram(
            "proxy_overhead_seconds", "What the proxy itself added before the upstream request left.", OVERHEAD
        )
        self.chunks = counter(
            "proxy_stream_chunks_total", "Events read from upstreams, chunks made for callers.", "model", "direction"
        )
        self.tokens = counter("proxy_tokens_total", "Tokens, as counted by the upstream.", "model", "type")
        self.size = histogram("proxy_response_size_bytes", "Bytes sent to the caller.", SIZE, "model")
        self.tool_calls = counter("proxy_tool_calls_total", "Tool calls found in answers.", "model", "outcome")
        self.cache = counter(
            "proxy_cache_requests_total", "Requests to models whose answers are kept.", "model", "outcome"
        )
        self.logins = histogram("proxy_jwt_fetch_seconds", "Time of a login at the upstream.", LOGIN, "outcome")
        self.upstream_errors = counter("proxy_upstream_errors_total", "Failures of upstreams.", "upstream", "kind")
        self.retries = counter(
            "proxy_retries_total", "Tries that failed and were followed by another.", "model", "kind"
        )
        self.cooling = gauge(
            "proxy_deployment_cooling_seconds", "Seconds left of a deployment's cool-down.", "model", "upstream"
        )
        self.quota_wait = histogram(
            "proxy_quota_wait_seconds", "Time that requests waited for the quota of their account.", WAIT
        )
        self.quota_refusals = counter(
            "proxy_quota_refusals_total", "Requests that the quota of their account had no place for in time."
        )
        self.rejections = counter(
            "proxy_correlation_rejections_total", "Requests refused for their correlation id.", "reason"
        )
        self.lag = histogram("proxy_event_loop_lag_seconds", "How late the event loop woke its watchdog.", LAG)
        self.log_lines_lost = LINES_LOST
        registry.register(LINES_LOST)
        self.reloads = counter("proxy_config_reloads_total", "Changed configurations, taken or not.", "outcome")
        self.reloaded = gauge(
            "proxy_config_last_reload_successful", "1 if the configuration in use is the one that is there."
        )
        self.build = gauge("proxy_build_info", "Version.", "version", "python")
        self.operations = histogram(
            "gen_ai_client_operation_duration_seconds", "Time of a whole operation.", DURATION, *GEN_AI
        )
        self.usage = histogram(
            "gen_ai_client_token_usage", "Tokens of an operation.", TOKENS, *GEN_AI, "gen_ai_token_type"
        )
        self.server_first_token = histogram(
            "gen_ai_server_time_to_first_token_seconds", "Time to the first of the answer.", FIRST_TOKEN, *GEN_AI
        )
