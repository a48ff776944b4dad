"""Under the server that `cutwater serve` is: slow readers, ends, what is loaded when."""

import asyncio
from contextlib import asynccontextmanager

import uvicorn
import websockets
from websockets.exceptions import ConnectionClosed

from core.ports import SocketClosed
from core.relay.session import Limits
from handlers import realtime
from tests.fakes import KEY, application
from tests.handlers.realtime_sides import CREATED, FakeSocket, FakeSockets
from tests.handlers.test_imports import measure
from tests.processes import free_port

HEADERS = {"authorization": f"Bearer {KEY}"}
FRAME = '{"type":"response.audio.delta","delta":"' + "A" * 60_000 + '"}'


class Flood(FakeSocket):
    """Never stops speaking; counts what it was asked for."""

    def __init__(self):
        super().__init__(CREATED)
        self.said = 0

    async def receive(self):
        if self._frames.empty():
            self.said += 1
            return FRAME
        return await super().receive()


@asynccontextmanager
async def served(socket, **limits):
    """The address of a real server whose provider is `socket`."""
    app, log = application(sockets=FakeSockets(socket))

    async def run(scope, receive, send):
        if scope["type"] == "websocket":
            await realtime.serve(app.services, scope, receive, send, limits=Limits(**limits))

    config = uvicorn.Config(
        run,
        port=free_port(),
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="error",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.02)
    try:
        yield f"ws://127.0.0.1:{config.port}/v1/realtime?model=gpt-realtime", log
    finally:
        server.should_exit = True
        async with asyncio.timeout(10):
            await serving


async def drained(socket):
    """The last frame, the code and the reason of what is read to its end."""
    last = None
    try:
        while True:
            last = await socket.recv()
    except ConnectionClosed as closed:
        return last, closed.rcvd.code, closed.rcvd.reason


async def test_a_slow_reader_holds_up_its_source_and_is_told_why_it_is_closed():
    provider = Flood()
    async with served(provider, stalled_s=0.5) as (url, _), asyncio.timeout(20):
        async with websockets.connect(
            url, additional_headers=HEADERS, max_queue=1, compression=None
        ) as socket:
            await asyncio.wait_for(provider.hung_up.wait(), 10)
            # What sockets on both sides hold, and not a frame more in our memory.
            assert provider.said < 300
            last, code, reason = await drained(socket)
        assert (code, reason) == (3008, "timeout_error.request_timeout")
        assert "read nothing" in last


async def test_closes_pass_both_ways():
    provider = FakeSocket(CREATED)
    async with served(provider) as (url, log), asyncio.timeout(20):
        async with websockets.connect(url, additional_headers=HEADERS) as socket:
            assert await socket.recv() == CREATED
            await socket.close(4321, "enough")
        await asyncio.wait_for(provider.hung_up.wait(), 5)
        assert provider.closed == SocketClosed(4321, "enough")
        assert log.lines[-1][2]["close_code"] == 4321
    provider = FakeSocket(CREATED, SocketClosed(1011, "test reconnect"))
    async with (
        served(provider) as (url, _),
        asyncio.timeout(20),
        websockets.connect(url, additional_headers=HEADERS) as socket,
    ):
        assert await drained(socket) == (CREATED, 1011, "test reconnect")


async def test_a_connection_that_is_cut_ends_the_providers():
    provider = FakeSocket(CREATED)
    async with (
        served(provider) as (url, _),
        asyncio.timeout(20),
        websockets.connect(url, additional_headers=HEADERS) as socket,
    ):
        assert await socket.recv() == CREATED
        socket.transport.abort()
        await asyncio.wait_for(provider.hung_up.wait(), 5)


def test_the_path_of_http_loads_nothing_of_realtime():
    _, loaded = measure("handlers.http")
    assert not {name for name in loaded if name.startswith(("core.relay", "infra.websocket"))}
    assert not {"handlers.realtime", "handlers.realtime_opening", "websockets"} & loaded
