"""What leaves a local server at once: a head goes with the first bytes of its body."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from handlers.local import LARGE, BoundedProtocol

Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Send], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\n"


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data:
            self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def saying(*pieces: bytes, length: bool = False) -> App:
    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        size = b"%d" % sum(map(len, pieces))
        headers = [(b"content-length", size)] if length else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1] if pieces else b""})

    return app


async def asked(app: App, *lines: bytes, method: bytes = b"POST") -> Wire:
    config = Config(app, http=BoundedProtocol, lifespan="off", log_config=None)
    config.load()
    state, wire = ServerState(), Wire()
    protocol = BoundedProtocol(config, state, {}, asyncio.get_running_loop())
    protocol.connection_made(wire)
    protocol.data_received(b"\r\n".join([method + b" / HTTP/1.1", *lines, b"", b""]))
    await asyncio.wait(state.tasks, timeout=5)
    protocol.connection_lost(None)
    return wire


async def test_a_whole_answer_leaves_in_one_piece():
    wire = await asked(saying(b"all of it", length=True))
    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(HEAD)
    assert wire.writes[0].endswith(b"\r\n\r\nall of it")


async def test_a_large_answer_is_not_copied_to_join_its_head():
    body = b"x" * (LARGE + 1)
    wire = await asked(saying(body, length=True))
    assert wire.writes[0].startswith(HEAD)
    assert wire.writes[1:] == [body]


async def test_a_stream_is_never_held_after_its_first_chunk():
    wire = await asked(saying(b"one", b"two", b""))
    assert [HEAD in wire.writes[0], wire.writes[0].endswith(b"3\r\none\r\n")] == [True, True]
    assert wire.writes[1:] == [b"3\r\ntwo\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("app", "method"),
    [(saying(b"all", length=True), b"HEAD"), (saying(length=True), b"POST")],
    ids=["HEAD", "empty"],
)
async def test_a_head_without_a_body_leaves(app: App, method: bytes):
    (said,) = (await asked(app, method=method)).writes
    assert said.startswith(HEAD)
    assert said.endswith(b"\r\n\r\n")


async def test_a_client_that_waits_for_100_is_told_at_once():
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await receive()
        await saying(b"x", length=True)(scope, receive, send)

    wire = await asked(app, b"expect: 100-continue", b"content-length: 0")
    assert wire.writes[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert wire.writes[1].startswith(HEAD)
    assert len(wire.writes) == 2


async def test_a_head_is_said_where_the_body_never_comes():
    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        headers = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise OSError

    wire = await asked(app)
    assert len(wire.writes) == 1
    assert wire.writes[0].startswith(HEAD)
    assert wire.closed
