"""Providers over HTTP, against a loopback server that misbehaves."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import Incoming, Outgoing
from infra.http import HttpUpstream
from tests.infra.loopback import Connection, provider

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Thing: One\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    opened = HttpUpstream()
    yield opened
    await opened.close()
    await asyncio.sleep(0)


def outgoing(url: str, **changes: Any) -> Outgoing:
    limits = {"connect_s": 5.0, "first_byte_s": 5.0, "idle_s": 5.0, "total_s": 10.0} | changes
    headers = limits.pop("headers", {"content-type": "application/json"})
    asked = {"method": "POST", "body": b'{"a":1}'} | limits
    return Outgoing(url=url, headers=headers, **asked)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answers(connection: Connection) -> None:
    while True:
        await connection.request()
        await connection.say(OK)


async def test_a_request_goes_out_as_it_is_and_the_reply_comes_back(upstream: HttpUpstream):
    asked: list[tuple[bytes, bytes]] = []

    async def script(connection: Connection) -> None:
        asked.append(await connection.request())
        await connection.say(OK)

    async with provider(script) as server:
        url = server.url + "/v1/x%2Fy?a=%20b"
        async with upstream.send(outgoing(url, headers={"x-a": "1"})) as reply:
            assert (reply.status, reply.headers["x-thing"]) == (200, "One")
            assert await reply.read() == b"ok"
    head, body = asked[0]
    assert head.startswith(b"POST /v1/x%2Fy?a=%20b HTTP/1.1\r\n")
    assert b"x-a: 1\r\n" in head
    assert body == b'{"a":1}'


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 5 << 20])
async def test_a_large_body_arrives_whole_and_a_second_time_if_its_connection_was_lost(
    upstream: HttpUpstream, size: int
):
    asked: list[tuple[bytes, bytes]] = []

    async def script(connection: Connection) -> None:
        while True:
            asked.append(await connection.request())
            if len(asked) == 2:
                return  # A connection that rested in the pool is what may be found dead.
            await connection.say(OK)

    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with provider(script) as server:
        request = replace(outgoing(server.url), body=body)
        for _ in range(2):
            async with upstream.send(request) as reply:
                assert await reply.read() == b"ok"
    assert [one[1] for one in asked] == [body, body, body]
    assert b"content-length: %d\r\n" % size in asked[0][0].lower()
    assert b"content-type: application/json\r\n" in asked[0][0].lower()


async def test_a_connection_is_used_again(upstream: HttpUpstream):
    async with provider(answers) as server:
        for _ in range(3):
            async with upstream.send(outgoing(server.url)) as reply:
                assert await reply.read() == b"ok"
        assert server.connections == 1


async def test_a_stream_left_just_before_its_end_keeps_its_connection(upstream: HttpUpstream):
    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(CHUNKED, chunk(b"data: [DONE]\n\n"))
            await asyncio.sleep(0.02)
            await connection.say(b"0\r\n\r\n")

    async with provider(script) as server:
        for _ in range(2):
            async with upstream.send(outgoing(server.url)) as reply:
                assert await anext(reply.chunks()) == b"data: [DONE]\n\n"
        assert server.connections == 1


async def test_a_connection_rests_longer_than_a_stream_may_be_silent(upstream: HttpUpstream):
    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(CHUNKED, chunk(b"a"))
            await asyncio.sleep(0.02)
            await connection.say(b"0\r\n\r\n")

    async with provider(script) as server:
        for _ in range(2):
            async with upstream.send(outgoing(server.url, idle_s=0.1)) as reply:
                assert await reply.read() == b"a"
            await asyncio.sleep(0.2)
        assert server.connections == 1


async def test_a_stream_whose_end_never_comes_is_let_go(upstream: HttpUpstream):
    gone = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED, chunk(b"a"))
        await connection.gone()
        gone.set()

    async with provider(script) as server:
        async with upstream.send(outgoing(server.url)) as reply:
            assert await anext(reply.chunks()) == b"a"
        async with asyncio.timeout(2):
            await gone.wait()


async def test_a_stream_that_breaks_while_it_is_left_is_no_error(upstream: HttpUpstream):
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED, chunk(b"a"))
        await asyncio.sleep(0.02)
        connection.reset()

    async with provider(script) as server, upstream.send(outgoing(server.url)) as reply:
        assert await anext(reply.chunks()) == b"a"


@pytest.mark.parametrize("reset", [False, True])
async def test_what_a_new_connection_took_is_not_sent_again(upstream: HttpUpstream, reset: bool):
    async def lost(connection: Connection) -> None:
        await connection.request()
        if reset:
            connection.reset()

    async with provider(lost, answers) as server:
        with pytest.raises(UpstreamError, match="could not be reached"):
            async with upstream.send(outgoing(server.url)):
                pass
        assert server.connections == 1


async def died(connection: Connection) -> None:
    """After its first answer."""
    await connection.request()
    await connection.say(OK)
    await connection.request()
    connection.reset()


async def test_what_is_done_once_is_not_sent_again_on_any_connection(upstream: HttpUpstream):
    async with provider(died, answers) as server:
        async with upstream.send(outgoing(server.url)) as reply:
            assert await reply.read() == b"ok"
        with pytest.raises(UpstreamError, match="could not be reached"):
            async with upstream.send(outgoing(server.url, once=True)):
                pass
        assert server.connections == 1


@pytest.mark.parametrize(
    ("method", "length"),
    [("GET", False), ("HEAD", False), ("DELETE", None), ("POST", True), ("PATCH", True)],
)
async def test_an_empty_body_has_no_type(upstream: HttpUpstream, method: str, length: bool | None):
    asked: list[bytes] = []

    async def script(connection: Connection) -> None:
        asked.append((await connection.request())[0].lower())
        await connection.say(OK.removesuffix(b"ok") if method == "HEAD" else OK)

    async with provider(script) as server:
        request = outgoing(server.url, method=method, body=b"", headers={})
        async with upstream.send(request) as reply:
            assert reply.status == 200
    assert b"content-type" not in asked[0]
    if length is not None:
        assert (b"content-length: 0\r\n" in asked[0]) == length


async def test_a_pooled_connection_that_died_meanwhile_is_replaced(upstream: HttpUpstream):
    async with provider(died, answers) as server:
        for _ in range(2):
            async with upstream.send(outgoing(server.url)) as reply:
                assert await reply.read() == b"ok"
        assert server.connections == 2


async def test_a_refused_connection_is_an_error_at_once(upstream: HttpUpstream):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(UpstreamError, match="could not be reached") as caught:
        async with upstream.send(outgoing(f"http://127.0.0.1:{port}")):
            pass
    assert caught.value.status == 502
    assert str(port) not in caught.value.message


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/", {"a": "b\r\nc: d"}),
        ("http://", {}),
        ("no-scheme", {}),
        ("http://does-not-exist.invalid/", {}),
    ],
)
async def test_what_cannot_be_sent_is_an_error(
    upstream: HttpUpstream, url: str, headers: dict[str, str]
):
    with pytest.raises(UpstreamError, match="could not be reached"):
        async with upstream.send(outgoing(url, headers=headers)):
            pass


async def silence(connection: Connection) -> None:
    await connection.request()
    await connection.gone()


async def test_a_head_that_does_not_come_in_time_is_a_timeout(upstream: HttpUpstream):
    async with provider(silence) as server:
        with pytest.raises(UpstreamTimeoutError, match="in time") as caught:
            async with upstream.send(outgoing(server.url, connect_s=0.05, first_byte_s=0.05)):
                pass
    assert caught.value.status == 504


async def test_a_patient_first_byte_is_not_cut_short_by_the_idle_time(upstream: HttpUpstream):
    async def late(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.2)
        await connection.say(OK)

    async with (
        provider(late) as server,
        upstream.send(outgoing(server.url, first_byte_s=5.0, idle_s=0.05)) as reply,
    ):
        assert await reply.read() == b"ok"


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n5\r\nde",
        CHUNKED + b"3\r\nabc\r\nzz\r\n",
        OK.replace(b"X-Thing: One", b"content-encoding: gzip"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_that_is_cut_or_broken_is_an_error(
    upstream: HttpUpstream, start: bytes, reset: bool
):
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(start)
        await asyncio.sleep(0.02)
        if reset:
            connection.reset()

    async with provider(script) as server:
        with pytest.raises(UpstreamError, match=r"cut off|reached"):
            async with upstream.send(outgoing(server.url)) as reply:
                await reply.read()
        with pytest.raises(UpstreamError, match=r"cut off|reached"):
            async with upstream.send(outgoing(server.url)) as reply:
                _ = [piece async for piece in reply.chunks()]


@pytest.mark.parametrize("whole", [False, True])
async def test_a_stream_that_falls_silent_is_a_timeout(upstream: HttpUpstream, whole: bool):
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED, chunk(b"a"))
        await connection.gone()

    async def pieces(reply: Incoming) -> list[bytes]:
        return [piece async for piece in reply.chunks()]

    async with (
        provider(script) as server,
        upstream.send(outgoing(server.url, idle_s=0.1)) as reply,
    ):
        with pytest.raises(UpstreamTimeoutError, match="in the middle"):
            await (reply.read() if whole else pieces(reply))


async def test_the_whole_exchange_has_a_limit_too(upstream: HttpUpstream):
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED)
        for _ in range(100):
            await connection.say(chunk(b"a"))
            await asyncio.sleep(0.02)

    async with (
        provider(script) as server,
        upstream.send(outgoing(server.url, total_s=0.2)) as reply,
    ):
        with pytest.raises(UpstreamTimeoutError):
            _ = [piece async for piece in reply.chunks()]


async def test_a_body_compressed_against_our_wish_is_unpacked(upstream: HttpUpstream):
    packed = gzip.compress(b"data: x\n\n" * 100)

    async def script(connection: Connection) -> None:
        await connection.request()
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
        await connection.say(head % len(packed) + packed)

    async with provider(script) as server, upstream.send(outgoing(server.url)) as reply:
        assert await reply.read() == b"data: x\n\n" * 100


async def test_every_chunk_arrives_at_once(upstream: HttpUpstream):
    heard = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(CHUNKED)
        for piece in (b"a", b"b"):
            await connection.say(chunk(piece))
            await heard.wait()
            heard.clear()
        await connection.say(b"0\r\n\r\n")

    async with (
        asyncio.timeout(5),
        provider(script) as server,
        upstream.send(outgoing(server.url)) as reply,
    ):
        pieces = []
        async for piece in reply.chunks():
            pieces.append(piece)
            heard.set()
        assert pieces == [b"a", b"b"]


@pytest.mark.parametrize("after_head", [False, True])
async def test_a_caller_that_gives_up_hangs_up_on_the_provider(
    upstream: HttpUpstream, after_head: bool
):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        if after_head:
            await connection.say(CHUNKED, chunk(b"a"))
        asked.set()
        await connection.gone()
        gone.set()

    async def call(url: str) -> None:
        async with upstream.send(outgoing(url)) as reply:
            await reply.read()

    async with provider(script) as server, asyncio.timeout(5):
        task = asyncio.ensure_future(call(server.url))
        await asked.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1):
            await gone.wait()
        assert server.connections == 1


async def test_redirects_are_not_followed(upstream: HttpUpstream):
    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(
            b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
        )

    async with provider(script) as server:
        async with upstream.send(outgoing(server.url)) as reply:
            assert reply.status == 307
        assert server.connections == 1


async def test_cookies_are_not_kept(upstream: HttpUpstream):
    heads: list[bytes] = []

    async def script(connection: Connection) -> None:
        for _ in range(2):
            heads.append((await connection.request())[0])
            await connection.say(OK.replace(b"X-Thing: One", b"set-cookie: a=b"))

    async with provider(script) as server:
        for _ in range(2):
            async with upstream.send(outgoing(server.url)) as reply:
                await reply.read()
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_closing_twice_or_before_the_first_use_is_no_error():
    opened = HttpUpstream()
    await opened.close()
    async with provider(answers) as server:
        async with opened.send(outgoing(server.url)) as reply:
            await reply.read()
        await opened.close()
        await opened.close()
