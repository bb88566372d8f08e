"""Traces by OpenTelemetry. Needs the extra ``otel``, and is imported only where traces are switched on."""
