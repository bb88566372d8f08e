"""The baseline: the least that aiohttp and uvloop can do for a stream. It passes bytes on and looks at none."""

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def main(upstream: str, port: int) -> None:
    async def pass_on(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"content-type": request.content_type}
        async with session.post(upstream + request.path, data=body, headers=headers) as reply:
            out = web.StreamResponse(status=reply.status, headers={"content-type": reply.headers["content-type"]})
            await out.prepare(request)
            async for chunk in reply.content.iter_any():
                await out.write(chunk)
        await out.write_eof()
        return out

    async def health(_: web.Request) -> web.StreamResponse:
        return web.Response()

    app = web.Application(client_max_size=2**24)
    app.router.add_get("/health", health)
    app.router.add_post("/{path:.*}", pass_on)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
