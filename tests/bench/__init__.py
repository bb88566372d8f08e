"""The benchmark: what a streamed token costs, and what the proxy adds to the first one. ``python -m tests.bench``.

Five processes: an upstream that speaks StackSpot's wire format, a plain pass-through in front of it as the baseline,
the proxy under test, the load, and this one, which starts them, pins them to cores and reports.
"""
