"""`python -m tests.support.provider [--port P] [--cert FILE --key FILE]`: serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal
import ssl
from pathlib import Path

import uvloop

from tests.support.provider.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="provider", description="An OpenAI-compatible provider's stand-in.")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="default: a free one")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="serve TLS with this certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the certificate's key")
    options = parser.parse_args()
    if (options.cert is None) != (options.key is None):
        parser.error("--cert and --key go together")
    tls = None
    if options.cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(options.port, tls))


async def _run(port: int, tls: ssl.SSLContext | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(port, tls) as url:
        print(f"listens on {url}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    main()
