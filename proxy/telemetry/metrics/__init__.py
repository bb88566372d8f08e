"""Prometheus metrics. Families are named and bucketed in one place, children are looked up once for each model."""

from proxy.telemetry.metrics.registry import Metrics

__all__ = ["Metrics"]
