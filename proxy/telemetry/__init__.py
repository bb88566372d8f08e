"""What the proxy tells about itself. Handed to the rest by the composition root; nothing in here is waited for.

A request keeps a ``record.Record``; ``events`` makes log lines of it, ``metrics`` numbers, and ``observers`` pass it to
what is switched on beside: ``traces``, ``runs``, and ``texts`` of what was said. ``capture`` listens to upstreams.
"""
