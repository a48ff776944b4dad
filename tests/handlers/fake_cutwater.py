"""A server that answers like Cutwater, well or badly, on a free port and in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from core import __version__ as version

Handle = Callable[[web.Request], Any]


@contextmanager
def server(handle: Handle) -> Iterator[str]:
    """An aiohttp server on a free port, in a thread of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


class Fake:
    """Answers like Cutwater; `statuses` by the endpoint that is named."""

    def __init__(self, pause: float = 0.3, **statuses: int) -> None:
        self.pause = pause
        self.statuses = statuses
        self.asked: list[tuple[str, str | None, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/health":
            return web.json_response({"status": "ok", "version": version})
        body = msgspec.json.decode(await request.read())
        endpoint = request.headers.get("x-bt-endpoint-name")
        self.asked.append((request.path, endpoint, body))
        if body["model"] == "demo-slow":
            return await self._stream(request)
        status = self.statuses.get(endpoint or "", 200)
        error = {"error": {"message": "sentinel", "code": "model_not_found"}}
        return web.json_response({} if status == 200 else error, status=status)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for word in self._words():
            await response.write(word)
        return response

    async def _words(self) -> AsyncIterator[bytes]:
        for word in (b"one", b"two", b"three", b"four", b"five"):
            yield b"data: %s\n\n" % word
            await asyncio.sleep(self.pause)
