"""WebSockets to a provider on a loopback server: frames, ends, refusals, reach."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import HandshakeError, Outgoing, SocketClosed
from infra.http import HttpUpstream
from infra.websocket import WebSockets


def asking(url, **changes):
    said = {
        "method": "GET",
        "url": url,
        "headers": {"authorization": "Bearer sk-secret"},
        "body": b"",
        "connect_s": 2.0,
        "first_byte_s": 2.0,
        "idle_s": 2.0,
        "total_s": 2.0,
    }
    return Outgoing(**(said | changes))


@asynccontextmanager
async def provider(handle, **limits):
    """(address, sockets) in front of a server that answers with `handle`."""
    app = web.Application()
    app.router.add_get("/realtime", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    http = HttpUpstream(**limits)
    sockets = WebSockets(http)
    try:
        yield f"ws://127.0.0.1:{port}/realtime", sockets
    finally:
        await sockets.close()
        await http.close()
        await runner.cleanup()


def talking(talk, **options):
    async def handle(request):
        socket = web.WebSocketResponse(autoclose=False, **options)
        await socket.prepare(request)
        await talk(socket, request)
        return socket

    return handle


async def test_text_and_binary_frames_pass_as_they_are():
    async def echo(socket, request):
        assert request.headers["authorization"] == "Bearer sk-secret"
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)

    async with provider(talking(echo)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1_000_000)
        for frame in ("no JSON é\u2028", b"\x00\xff", "x" * 300_000):
            await socket.send(frame)
            assert await socket.receive() == frame
        await socket.close(1000, "bye")
        assert isinstance(await socket.receive(), SocketClosed)


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "bye"), (1011, "x"), (1013, "é" * 61), (4999, "z")]
)
async def test_a_close_arrives_with_its_code_and_reason(code, reason):
    async def leave(socket, _request):
        await socket.close(code=code, message=reason.encode())

    async with provider(talking(leave)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1000)
        assert await socket.receive() == SocketClosed(code, reason)
        assert isinstance(await socket.receive(), SocketClosed)


async def test_our_close_arrives_with_its_code_and_reason():
    heard = asyncio.get_running_loop().create_future()

    async def listen(socket, _request):
        message = await socket.receive()
        heard.set_result((message.data, message.extra))

    async with provider(talking(listen)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1000)
        await socket.close(3000, "reason")
        async with asyncio.timeout(5):
            assert await heard == (3000, "reason")


async def test_a_connection_that_breaks_off_is_not_taken_for_one_that_was_closed():
    async def drop(socket, request):
        await socket.send_str("once")
        request.transport.abort()

    async with provider(talking(drop)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1000)
        assert await socket.receive() == "once"
        assert await socket.receive() == SocketClosed(None)
        await socket.send("into nothing")
        await socket.close(1000, "")


async def test_an_end_without_a_close_frame_is_a_connection_that_broke_off():
    async def vanish(_socket, request):
        request.transport.write_eof()
        await asyncio.sleep(0.2)

    async with provider(talking(vanish)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1000)
        assert await socket.receive() == SocketClosed(None)


async def test_a_frame_that_is_too_large_closes_with_1009():
    async def shout(socket, _request):
        await socket.send_str("x" * 5000)
        await socket.receive()

    async with provider(talking(shout)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=1000)
        assert (await socket.receive()).code == 1009
        await socket.close(1009, "")


async def test_a_refused_handshake_tells_its_status_and_what_was_said():
    async def refuse(_request):
        return web.Response(status=404, text='{"error": "DeploymentNotFound"}')

    async with provider(refuse) as (url, sockets):
        with pytest.raises(HandshakeError) as refused:
            await sockets.connect(asking(url), most_bytes=1000)
        assert refused.value.status == 404
        assert refused.value.body == b'{"error": "DeploymentNotFound"}'


async def test_a_key_follows_no_redirect():
    seen = []

    async def redirect(request):
        seen.append(request.query_string)
        return web.Response(status=302, headers={"location": "/realtime?again"})

    async with provider(redirect) as (url, sockets):
        with pytest.raises(HandshakeError) as refused:
            await sockets.connect(asking(url), most_bytes=1000)
        assert refused.value.status == 302
        assert seen == [""]


async def test_an_answer_that_is_no_websocket_is_told_so():
    async def upgrade(request):
        request.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-accept: wrong\r\n\r\n"
        )
        await asyncio.sleep(0.5)
        request.transport.abort()
        return web.Response()

    async with provider(upgrade) as (url, sockets):
        with pytest.raises(UpstreamError, match="no WebSocket"):
            await sockets.connect(asking(url), most_bytes=1000)


async def test_a_provider_that_cannot_be_reached_or_stays_silent_is_told_apart():
    async def silent(_request):
        await asyncio.sleep(5)
        return web.Response()

    async with provider(silent) as (url, sockets):
        with pytest.raises(UpstreamTimeoutError):
            await sockets.connect(asking(url, connect_s=0.1, first_byte_s=0.1), most_bytes=1000)
        with pytest.raises(UpstreamError, match="could not be reached"):
            await sockets.connect(asking("ws://127.0.0.1:1/realtime"), most_bytes=1000)


async def test_a_deployment_opens_no_socket_to_where_it_does_not_connect():
    async def never(_request):
        raise AssertionError("It was reached.")

    async with provider(never, reach="public") as (url, sockets):
        with pytest.raises(UpstreamError, match="CUTWATER_PRIVATE_ENDPOINTS"):
            await sockets.connect(asking(url), most_bytes=1000)


async def test_a_provider_that_is_not_read_is_held_back():
    sent = 0

    async def flood(socket, _request):
        nonlocal sent
        for _ in range(2000):
            await socket.send_str("x" * 10_000)
            sent += 1

    async with provider(talking(flood)) as (url, sockets):
        socket = await sockets.connect(asking(url), most_bytes=100_000)
        assert await socket.receive() == "x" * 10_000
        await asyncio.sleep(0.5)
        held = sent
        assert held < 1500  # Of the 20 MB only what sockets and we hold has left.
        for _ in range(500):
            await socket.receive()
        assert sent > held
        await socket.close(1000, "")
