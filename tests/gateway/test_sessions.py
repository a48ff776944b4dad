"""Sessions through API Gateway as it is: no order, no haste, no process that lives for long."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from core.ports import HandshakeError, SocketClosed
from tests.fakes import KEY
from tests.gateway import emulator
from tests.gateway.emulator import Faults
from tests.gateway.sides import Model, deployment, said
from tests.handlers.realtime_sides import CREATED, FakeSocket

AUTHORIZED = {"authorization": f"Bearer {KEY}"}
SECONDS = 25.0
MODEL = "?model=gpt-realtime"


@asynccontextmanager
async def connected(api: Any, query: str = MODEL, **more: Any) -> Any:
    """A client's connection; when it has left, its session has to end by itself."""
    more.setdefault("headers", AUTHORIZED)
    async with (
        asyncio.timeout(SECONDS),
        emulator.running(api) as url,
        aiohttp.ClientSession() as client,
    ):
        async with client.ws_connect(url + query, **more) as socket:
            yield socket
        if api.runs:
            _, running = await asyncio.wait(api.runs, timeout=5)
            assert not running
        assert api.failures == []


async def heard(socket: Any, until: str) -> list[Any]:
    """All events up to one of a type."""
    found = []
    while not found or found[-1]["type"] != until:
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found.append(msgspec.json.decode(message.data))
    return found


def item(text: str, **more: Any) -> str:
    content = [{"type": "input_text", "text": text}]
    return said(
        type="conversation.item.create",
        item={"type": "message", "role": "user", "content": content},
        **more,
    )


def append(number: int) -> str:
    return said(type="input_audio_buffer.append", event_id=f"event_{number}", audio="AAAA")


async def test_a_conversation_goes_both_ways():
    model = Model()
    api, log, _ = deployment(model)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(item("Hello"))
        await heard(socket, "conversation.item.done")
        await socket.send_str(said(type="response.create"))
        events = await heard(socket, "response.done")
    assert "".join(e["delta"] for e in events if e["type"].endswith("delta")) == "I heard 1"
    assert model.hung_up.is_set()
    lines = {event: fields for _, event, fields in log.lines}
    assert lines["realtime_response"]["gen_ai.usage.input_tokens"] == 3
    assert lines["realtime_session"]["responses"] == 1


async def test_the_subprotocol_with_the_key_is_never_echoed():
    api, _, provider = deployment(Model())
    protocols = ("realtime", f"openai-insecure-api-key.{KEY}")
    async with connected(api, headers={}, protocols=protocols) as socket:
        assert socket.protocol == "realtime"
        await heard(socket, "session.created")
    assert KEY not in str(provider.asked[0].headers)


async def test_nothing_of_a_session_lies_readable_in_the_table():
    api, _, _ = deployment(Model())
    async with connected(api) as socket:
        await heard(socket, "session.created")
        held = b"".join(r.data for r in api.mailbox.kept.values() if r.sk.startswith("state"))
        assert held
        assert KEY.encode() not in held
        assert b"gpt-realtime" not in held


@pytest.mark.parametrize("key", [None, "cw_unknown_0123456789"])
async def test_who_is_not_known_is_refused_at_the_handshake(key: str | None):
    api, _, provider = deployment(Model())
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(api, headers=headers):
            pass
    assert refused.value.status == 401
    assert (api.runs, provider.asked, api.mailbox.kept) == ([], [], {})


@pytest.mark.parametrize(
    ("sockets", "query", "code"),
    [
        ([], "?model=claude-sonnet-4-5", None),
        ([HandshakeError(403, b"{}")], MODEL, None),
    ],
)
async def test_other_refusals_are_told_on_an_open_connection(
    sockets: list[Any], query: str, code: str | None
):
    api, _, _ = deployment(*sockets)
    async with connected(api, query) as socket:
        error, closed = (await heard(socket, "cutwater.session.closed"))[-2:]
        assert error["type"] == "error"
        assert closed["code"] >= 1011
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert code is None


@pytest.mark.parametrize("by_function", [False, True])
@pytest.mark.parametrize(
    "faults",
    [
        Faults(delay_s=(0.0, 0.03)),
        Faults(delay_s=(0.0, 0.03), tie_ms=4, duplicates=0.3),
        Faults(post_s=0.02, lost_posts=0.2),
        Faults(late_connection_s=0.6),
    ],
)
async def test_disorder_ties_lost_posts_and_late_connections_change_nothing(
    faults: Faults, by_function: bool
):
    model = Model()
    api, _, _ = deployment(model, faults=faults, by_function=by_function)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        for number in range(60):
            await socket.send_str(append(number))
            await asyncio.sleep(0.005)
        await socket.send_str(said(type="input_audio_buffer.commit"))
        await socket.send_str(said(type="response.create"))
        events = await heard(socket, "response.done")
        held = next(iter(api.clients.values()))
    sent = [msgspec.json.decode(frame) for frame in model.sent]
    assert [e["event_id"] for e in sent[:60]] == [f"event_{number}" for number in range(60)]
    assert [e["type"] for e in sent[60:]] == ["input_audio_buffer.commit", "response.create"]
    assert "".join(e["delta"] for e in events if e["type"].endswith("delta")) == "I heard 0"
    assert not held.disordered


async def test_deltas_are_joined_while_a_post_is_under_way():
    model = FakeSocket()
    api, _, _ = deployment(model, faults=Faults(post_s=0.1))
    words = [f"word{number} " for number in range(200)]
    for word in words:
        model.say(said(type="response.output_text.delta", item_id="i", delta=word))
    model.say(said(type="response.done", response={"id": "r", "status": "completed"}))
    async with connected(api) as socket:
        events = await heard(socket, "response.done")
    assert "".join(e.get("delta", "") for e in events) == "".join(words)
    assert api.posts < 20


async def test_a_large_delta_is_cut_and_a_client_that_leaves_ends_the_session():
    model = FakeSocket()
    api, _, _ = deployment(model)
    sound = "AAAA" * 70_000
    async with connected(api) as socket:
        model.say(said(type="response.output_audio.delta", item_id="i", delta=sound))
        model.say(said(type="response.done", response={"id": "r", "status": "completed"}))
        events = await heard(socket, "response.done")
    assert "".join(e.get("delta", "") for e in events) == sound
    assert len(events) > 2
    assert model.hung_up.is_set()


async def test_an_event_that_cannot_be_cut_is_named_and_left_out():
    model = FakeSocket()
    api, _, _ = deployment(model)
    async with connected(api) as socket:
        model.say(said(type="conversation.item.added", item={"text": "x" * 200_000}))
        model.say(said(type="response.done", response={"id": "r", "status": "completed"}))
        error, _ = await heard(socket, "response.done")
        assert "`conversation.item.added` is larger" in error["error"]["message"]


async def test_binary_data_of_a_provider_ends_the_session_with_the_reason():
    api, log, _ = deployment(FakeSocket(CREATED, b"sound"))
    async with connected(api) as socket:
        events = await heard(socket, "cutwater.session.closed")
        assert "use a container" in events[-2]["error"]["message"]
    assert any(event == "realtime_session" for _, event, _ in log.lines)


async def test_the_end_of_a_session_is_announced_and_told():
    limits = {"session_s": 1.0, "warn_s": 0.7}
    api, _, _ = deployment(Model(), limits=limits)
    async with connected(api) as socket:
        events = await heard(socket, "cutwater.session.closed")
        types = [event["type"] for event in events]
        assert types == [
            "session.created",
            "cutwater.session.ending",
            "error",
            "cutwater.session.closed",
        ]
        assert (events[-1]["code"], events[-1]["reason"]) == (1001, "session_expired")


async def test_a_session_in_which_nothing_is_said_is_closed_before_the_gateway_does_it():
    api, _, _ = deployment(Model(), limits={"idle_s": 0.5}, faults=Faults(idle_s=3.0))
    async with connected(api) as socket:
        error = (await heard(socket, "cutwater.session.closed"))[-2]
        assert error["error"]["code"] == "session_idle"


async def test_a_client_that_the_gateway_cuts_off_leaves_no_session_behind():
    model = Model()
    api, _, _ = deployment(model, faults=Faults(longest_s=0.5))
    async with connected(api) as socket:
        await heard(socket, "session.created")
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert model.hung_up.is_set()


async def test_a_frame_that_is_too_large_for_the_gateway_is_closed_by_it():
    api, _, _ = deployment(Model())
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(item("x" * emulator.FRAME))
        assert (await socket.receive()).data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_provider_that_breaks_off_is_told_and_closed():
    api, log, _ = deployment(FakeSocket(CREATED, SocketClosed(1006)))
    async with connected(api) as socket:
        events = await heard(socket, "cutwater.session.closed")
        assert [event["type"] for event in events[:2]] == ["session.created", "error"]
        assert events[-1]["code"] == 1011
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert ("info", "realtime_session") in {(level, event) for level, event, _ in log.lines}


async def test_the_table_may_fall_silent_for_a_while():
    model = Model()
    api, _, _ = deployment(model)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        api.mailbox.down = True
        await asyncio.sleep(0.6)
        api.mailbox.down = False
        await socket.send_str(said(type="response.create"))
        await heard(socket, "response.done")


async def test_binary_data_of_a_client_is_refused_by_the_gateway():
    api, _, _ = deployment(Model())
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_bytes(b"sound")
        assert (await socket.receive()).data == aiohttp.WSCloseCode.UNSUPPORTED_DATA
