"""The demo's upstream."""

import asyncio
from typing import Any

import pytest

from core.errors import UpstreamError, UpstreamTimeoutError
from core.ports import Outgoing
from infra.scripted import ScriptedUpstream
from providers.demo import Script


def outgoing(idle_s: float = 5, first_byte_s: float = 1) -> Outgoing:
    return Outgoing(
        method="POST",
        url="demo:/x",
        headers={},
        body=b"asked",
        connect_s=1,
        first_byte_s=first_byte_s,
        idle_s=idle_s,
        total_s=9,
    )


def script(*steps: tuple[float, bytes], cut: bool = False) -> Script:
    return Script(status=201, headers={"a": "b"}, steps=steps, cut=cut)


async def test_the_script_is_played_in_turn():
    asked: list[bytes] = []

    def script_of(body: bytes) -> Script:
        asked.append(body)
        return script((0.0, b"a"), (0.01, b""), (0.0, b"b"))

    upstream = ScriptedUpstream(script_of)
    async with upstream.send(outgoing()) as reply:
        assert (reply.status, reply.headers, asked) == (201, {"a": "b"}, [b"asked"])
        assert [chunk async for chunk in reply.chunks()] == [b"a", b"b"]
    async with upstream.send(outgoing()) as reply:
        assert await reply.read() == b"ab"
    await upstream.close()


async def test_a_cut_script_ends_with_an_error():
    async with ScriptedUpstream(lambda _: script((0.0, b"a"), cut=True)).send(outgoing()) as reply:
        chunks = reply.chunks()
        assert await anext(chunks) == b"a"
        with pytest.raises(UpstreamError):
            await anext(chunks)


async def test_a_pause_longer_than_the_idle_time_is_a_timeout():
    upstream = ScriptedUpstream(lambda _: script((0.0, b"a"), (3600.0, b"b")))
    async with asyncio.timeout(2), upstream.send(outgoing(idle_s=0.01)) as reply:
        with pytest.raises(UpstreamTimeoutError):
            await reply.read()


@pytest.mark.parametrize(
    ("fails", "error"), [("reset", UpstreamError), ("silent", UpstreamTimeoutError)]
)
async def test_a_script_without_a_reply_fails_before_its_head(fails: Any, error: type[Exception]):
    upstream = ScriptedUpstream(lambda _: Script(status=0, headers={}, steps=(), fails=fails))
    with pytest.raises(error):
        async with asyncio.timeout(2), upstream.send(outgoing(first_byte_s=0.01)):
            raise AssertionError
