"""The provider as a process, for tests."""

import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Process
from tests.support.provider.certificate import Certificate


class Provider(Process):
    """A running provider. `url` is its root, `base_url` what goes into `api_base`. With a certificate it speaks TLS."""

    def __init__(self, cwd: Path, *, certificate: Certificate | None = None, port: int = 0) -> None:
        self.certificate = certificate
        tls = ["--cert", str(certificate.cert), "--key", str(certificate.key)] if certificate else []
        super().__init__([sys.executable, "-m", "tests.support.provider", "--port", str(port), *tls], {}, cwd)
        self.url = self.wait_for(r"listens on (https?://\S+)")[1]
        self.base_url = f"{self.url}/v1"
        self.client = httpx.Client(base_url=self.url, timeout=30, verify=_trust(certificate), trust_env=False)

    def script(self, correlation_id: str, *answers: dict[str, Any]) -> None:
        """The answers to the next chat requests with this correlation id, or with any under `*`, in order."""
        reply = self.client.put(f"/_provider/scripts/{correlation_id}", json=list(answers))
        assert reply.status_code == 200, reply.text

    def requests(self, correlation_id: str | None = None) -> list[dict[str, Any]]:
        """The requests that came, oldest first; those with this correlation id if one is given."""
        wanted = {} if correlation_id is None else {"correlation_id": correlation_id}
        reply = self.client.get("/_provider/requests", params=wanted)
        found: list[dict[str, Any]] = reply.raise_for_status().json()
        return found

    def wait_ended(self, correlation_id: str, count: int = 1, seconds: float = 5) -> list[dict[str, Any]]:
        """The requests with this correlation id, once there are `count` and all have ended."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.requests(correlation_id)
            if len(found) >= count and all(request["end"] for request in found):
                return found
            assert time.monotonic() < deadline, f"not {count} that have ended: {found}"
            time.sleep(0.01)

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = self.client.get("/_provider/stats").raise_for_status().json()
        return found

    def reset(self) -> None:
        """Forgets all scripts and records."""
        self.client.delete("/_provider").raise_for_status()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return super().stop(number)


def _trust(certificate: Certificate | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate.cert if certificate else None)
    context.check_hostname = False  # a certificate may be for another host, on purpose
    return context
