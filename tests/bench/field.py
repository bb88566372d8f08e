"""Everything that is measured, up and running: the upstream, the baseline and the proxy."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import Cores
from tests.bench.processes import BenchError, Server, last_words, serving
from tests.bench.wire import Target

DIRECT, BASELINE, PROXY = "direct", "pass-through", "proxy"
_MODEL = "  - model_name: {agent}\n    litellm_params: {{model: stackspot/agent, agent_id: {agent}}}\n"


@dataclass(frozen=True, slots=True)
class Field:
    cores: Cores
    upstream: Server
    passthrough: Server
    proxy: Server

    def target(self, name: str, agent: str) -> Target:
        """An agent as it is reached directly, through the baseline, or through the proxy."""
        server = {DIRECT: self.upstream, BASELINE: self.passthrough, PROXY: self.proxy}[name]
        return Target(name, server.pid, server.port, agent, openai=name == PROXY)


@contextlib.contextmanager
def field(agents: Iterable[str]) -> Iterator[Field]:
    """Starts everything, with a model in the proxy for each of ``agents``, and ends it behind the context."""
    cores = Cores.available()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        (folder / "config.yaml").write_text("model_list:\n" + "".join(_MODEL.format(agent=agent) for agent in agents))

        upstream = stack.enter_context(serving(["tests.bench.upstream"], core=cores.upstream, folder=folder))
        passthrough = stack.enter_context(
            serving(["tests.bench.passthrough", upstream.url], core=cores.server, folder=folder)
        )
        proxy = stack.enter_context(
            serving(
                ["proxy", "serve", "--config", "config.yaml", "--host", "127.0.0.1", "--port", "0"],
                core=cores.server,
                folder=folder,
                env=_environment(upstream.url),
                ready=r'"url": ?"http://127\.0\.0\.1:(\d+)"',
            )
        )
        try:
            yield Field(cores, upstream, passthrough, proxy)
        except BenchError as error:
            raise BenchError(f"{error}\nThe proxy's log ends with:\n{last_words(folder / 'proxy.log')}") from None


def _environment(upstream: str) -> dict[str, str]:
    """That of the full product, in front of the bench's upstream."""
    return {
        "CLIENT_ID": "the-client",
        "CLIENT_SECRET": "the-secret",
        "REALM": "bench",
        "STACKSPOT_IDM_URL": upstream,
        "STACKSPOT_API_URL": upstream,
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
    }
