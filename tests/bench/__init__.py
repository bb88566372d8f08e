"""The benchmark: what a streamed token costs, and everything else of the table in the README. ``python -m tests.bench``.

Processes of its own: an upstream that speaks StackSpot's wire format and OpenAI's, the contestants in front of it (the
proxy under test, a plain pass-through, and what peers are installed), the load, and this one, which starts them, pins
them to cores and reports. ``plan.py`` says how much is done, ``measures/`` what, ``contestants/`` with whom.
"""
