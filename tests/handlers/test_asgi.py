"""The request's body, the response's head, and the silence between."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from core.errors import RequestTimeoutError, TooLargeError
from core.sse import HEARTBEAT
from handlers import asgi
from handlers.asgi import ClientGoneError, Inlet, Outlet, Watch, read_body

Message = MutableMapping[str, Any]


def receiver(*messages: Message) -> Callable[[], Any]:
    left = [*messages]

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def piece(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([piece(b"")], b""),
        ([{"type": "http.request"}], b""),
        ([piece(b"abc")], b"abc"),
        ([piece(b"a", more=True), piece(b"b", more=True), piece(b"c")], b"abc"),
        ([piece(b"0123456789")], b"0123456789"),
    ],
)
async def test_the_body_is_read_whole(messages: list[Message], body: bytes):
    assert await read_body(receiver(*messages), {}, most=10) == body


async def test_a_body_of_one_piece_is_not_copied():
    body = b"x" * 5
    assert await read_body(receiver(piece(body)), {}, most=10) is body


async def passed_on(receive: Callable[[], Any], declared: str) -> bytes:
    inlet = Inlet(receive, {"content-length": declared}, most=10)
    return b"".join([piece async for piece in inlet.pieces()])


@pytest.mark.parametrize(
    ("declared", "messages"),
    [
        ("11", []),
        ("9" * 5000, []),
        ("", [piece(b"x" * 11)]),
        ("3", [piece(b"x" * 6, more=True), piece(b"x" * 6, more=True)]),
        ("\xb2", [piece(b"x" * 11)]),
        ("-1", [piece(b"x" * 11)]),
    ],
)
async def test_a_body_above_the_limit_is_refused_as_early_as_can_be(
    declared: str, messages: list[Message]
):
    with pytest.raises(TooLargeError, match="10 bytes"):
        await read_body(receiver(*messages), {"content-length": declared}, most=10)
    with pytest.raises(TooLargeError, match="10 bytes"):
        await passed_on(receiver(*messages), declared)


async def test_a_client_that_goes_away_while_it_speaks_is_noticed():
    with pytest.raises(ClientGoneError):
        await read_body(receiver(piece(b"a", more=True), GONE), {}, most=10)


class Sent:
    """What left; `pause` makes every send take a while."""

    def __init__(self, pause: float = 0.0) -> None:
        self.messages: list[Message] = []
        self._pause = pause

    async def __call__(self, message: Message) -> None:
        if self._pause:
            await asyncio.sleep(self._pause)
        self.messages.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [m["body"] for m in self.messages if m["type"] == "http.response.body"]


async def test_the_head_waits_for_the_first_byte_and_may_change_until_then():
    sent = Sent()
    outlet = Outlet(sent)
    outlet.head(200, [(b"a", b"1")])
    assert not sent.messages
    outlet.head(503, [(b"b", b"2")])
    await outlet.write(b"x")
    outlet.head(200, [])
    await outlet.write(b"y")
    assert outlet.begun
    assert not outlet.over
    await outlet.end()
    assert outlet.over
    assert sent.messages == [
        {"type": "http.response.start", "status": 503, "headers": [(b"b", b"2")]},
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.body", "body": b"y", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]


async def test_a_whole_answer_has_its_length():
    sent = Sent()
    outlet = Outlet(sent)
    outlet.head(200, [(b"a", b"1")])
    await outlet.whole(b"four")
    assert sent.messages == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"a", b"1"), (b"content-length", b"4")],
        },
        {"type": "http.response.body", "body": b"four"},
    ]
    assert outlet.over


async def test_an_empty_stream_has_a_head_all_the_same():
    sent = Sent()
    outlet = Outlet(sent)
    await outlet.end()
    assert [m["type"] for m in sent.messages] == ["http.response.start", "http.response.body"]


async def test_silence_is_filled_with_comments_between_events_only():
    sent = Sent()
    outlet = Outlet(sent)
    outlet.beat(HEARTBEAT, 0.03)
    await asyncio.sleep(0.1)
    assert sent.bodies.count(HEARTBEAT) >= 2
    await outlet.write(b"data: x\n\n")
    await outlet.end()
    count = len(sent.messages)
    await asyncio.sleep(0.08)
    assert len(sent.messages) == count
    assert set(sent.bodies) == {HEARTBEAT, b"data: x\n\n", b""}


async def test_as_long_as_something_is_said_no_comment_goes_out():
    sent = Sent()
    outlet = Outlet(sent)
    outlet.beat(HEARTBEAT, 0.05)
    for _ in range(10):
        await asyncio.sleep(0.02)
        await outlet.write(b"x")
    await outlet.end()
    assert HEARTBEAT not in sent.bodies


async def test_a_comment_never_overtakes_the_head_and_is_never_cut():
    sent = Sent(pause=0.02)
    outlet = Outlet(sent)
    outlet.beat(HEARTBEAT, 0.001)
    await asyncio.sleep(0.005)
    for _ in range(5):
        await outlet.write(b"data: x\n\n")
    await outlet.end()
    await asyncio.sleep(0.05)
    assert sent.messages[0]["type"] == "http.response.start"
    assert [m["type"] for m in sent.messages].count("http.response.start") == 1
    assert sent.messages[-1] == {"type": "http.response.body", "body": b""}


async def test_hushing_twice_or_without_a_beat_is_no_error():
    outlet = Outlet(Sent())
    outlet.hush()
    outlet.beat(HEARTBEAT, 1)
    outlet.hush()
    outlet.hush()


async def test_a_client_that_goes_away_cancels_the_work():
    async def work() -> None:
        watcher = Watch(receiver(piece(b""), GONE), Outlet(Sent()))
        try:
            await asyncio.Event().wait()
        finally:
            watcher.cancel()

    task = asyncio.ensure_future(work())
    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.wait_for(task, 2)
    assert caught.value.args == (ClientGoneError,)


async def test_a_client_that_goes_away_after_the_end_cancels_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(asgi, "WATCH_AFTER_S", 0)
    heard = asyncio.Event()

    async def receive() -> Message:
        heard.set()
        return GONE

    outlet = Outlet(Sent())
    await outlet.end()
    watch = Watch(receive, outlet)
    await asyncio.wait_for(heard.wait(), 2)
    await asyncio.sleep(0)
    watch.cancel()


async def test_nobody_listens_for_a_client_while_its_answer_may_come_at_once():
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return GONE

    Watch(receive, Outlet(Sent())).cancel()
    await asyncio.sleep(2 * asgi.WATCH_AFTER_S)
    assert asked == 0


async def test_a_body_that_is_passed_on_may_not_stall_either(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asgi, "BODY_IDLE_S", 0.01)
    inlet = Inlet(asyncio.Queue[Message]().get, {}, most=10)
    with pytest.raises(RequestTimeoutError) as caught:
        await inlet.more()
    assert inlet.failure is caught.value


async def test_a_body_that_comes_later_is_waited_for():
    messages: asyncio.Queue[Message] = asyncio.Queue()
    reading = asyncio.ensure_future(asgi.read_body(messages.get, {}, most=10))
    for piece, more in ((b"a", True), (b"b", False)):
        await asyncio.sleep(0)
        messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})
    assert await asyncio.wait_for(reading, 2) == b"ab"


async def test_a_server_hears_that_nobody_waits_for_the_body_any_more():
    heard: list[type[BaseException]] = []

    async def receive() -> Message:
        try:
            return await asyncio.Queue[Message]().get()
        except asyncio.CancelledError as error:
            heard.append(type(error))
            raise

    reading = asyncio.ensure_future(asgi.read_body(receive, {}, most=10))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert heard == [asyncio.CancelledError]
