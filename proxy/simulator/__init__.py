"""A StackSpot AI stand-in that speaks its wire over real sockets, for demos, tests and benchmarks.

    async with serve(port=8090) as simulator:
        print(simulator.url)

Answers can be scripted per request: `script.Answer` has what an answer can do, `control` the routes. Nothing
here imports from the rest of the proxy.
"""

from .replay import ReplayError
from .script import Answer
from .server import Simulator, create_app, serve
from .state import Settings, State

__all__ = ["Answer", "ReplayError", "Settings", "Simulator", "State", "create_app", "serve"]
