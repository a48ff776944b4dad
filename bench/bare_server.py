"""The least a Python server can do: aiohttp that gives back the same bytes to everybody."""

import argparse
from pathlib import Path

from aiohttp import web


def application(body: bytes) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    app = web.Application(client_max_size=2**25)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True, help="the file to give back")
    given = parser.parse_args()
    app = application(given.body.read_bytes())
    web.run_app(app, host="127.0.0.1", port=given.port, access_log=None, print=None)
