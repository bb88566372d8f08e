"""Envoy, passing through: the measure of what a token may cost."""

from tests.bench.contestants.contestant import PEERS, Contestant, Launch, Place

_CONFIG = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          stream_idle_timeout: 0s
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{match: {{path: /health}}, direct_response: {{status: 200}}}}
              - {{match: {{prefix: /}}, route: {{cluster: upstream, timeout: 0s}}}}
  clusters:
  - name: upstream
    connect_timeout: 5s
    circuit_breakers:
      thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}]
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}}}
"""

_BINARY = next(PEERS.glob("envoy/lib/python*/site-packages/envoy/_bin/envoy"), None)


def _launch(place: Place) -> Launch:
    config = place.folder / "envoy.yaml"
    config.write_text(_CONFIG.format(port=place.port, upstream_port=place.upstream.rpartition(":")[2]))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return Launch([str(_BINARY), "-c", str(config), *options])


ENVOY = Contestant("Envoy, passing", _launch, missing=None if _BINARY else "Envoy is not installed")
