"""``simulator``: the StackSpot stand-in alone."""

import argparse
import asyncio
import signal

from proxy import simulator
from proxy.commands import CommandFailed


async def run(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with simulator.serve(port=options.port, replay=options.replay) as stand_in:
            print(
                f"StackSpot's stand-in listens on {stand_in.url}; "
                f"set STACKSPOT_IDM_URL={stand_in.url} STACKSPOT_API_URL={stand_in.url}",
                flush=True,
            )
            await stop.wait()
    except simulator.ReplayError as error:
        raise CommandFailed(str(error)) from None
    return 0
