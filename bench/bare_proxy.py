"""The least a Python proxy can do: aiohttp in front, aiohttp behind, nothing read between.

What a request costs here is the price of HTTP itself; the bench states ours as a multiple.
"""

import argparse

from aiohttp import ClientSession, TCPConnector, web

HOP_BY_HOP = frozenset(
    ("connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade")
)


def end_to_end(headers):
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


def application(upstream):
    async def session(_):
        nonlocal client
        async with ClientSession(connector=TCPConnector(limit=0), auto_decompress=False) as client:
            yield

    async def forward(request):
        url, asked = upstream + request.path_qs, await request.read()
        headers = end_to_end(request.headers)
        async with client.request(request.method, url, data=asked, headers=headers) as reply:
            headers = end_to_end(reply.headers)
            if not reply.content_type.startswith("text/event-stream"):
                return web.Response(status=reply.status, headers=headers, body=await reply.read())
            response = web.StreamResponse(status=reply.status, headers=headers)
            await response.prepare(request)
            async for piece in reply.content.iter_any():
                await response.write(piece)
            return response

    client = None
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="such as http://127.0.0.1:9000")
    given = parser.parse_args()
    app = application(given.upstream)
    web.run_app(app, host="127.0.0.1", port=given.port, access_log=None, print=None)
