"""`cutwater serve`, and one path more that counts what the process holds.

The soak cannot look into another process's event loop; the rest is what the
command line runs. Arguments: port, data folder, organisation files.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from handlers import local, wiring
from handlers.app import App

PATH: Final = "/held"


class Counting:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") != PATH:
            await self._app(scope, receive, send)
            return
        held = {"tasks": len(asyncio.all_tasks()), "pid": os.getpid()}
        body = msgspec.json.encode(held)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


def main(port: str, data: str, *files: str) -> None:
    orgs = wiring.read_orgs([Path(file) for file in files])
    app: Any = Counting(wiring.build(more=orgs, data=Path(data)))
    local.serve(app, "127.0.0.1", int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
