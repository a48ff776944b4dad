"""A session outlives its processes: it goes over to the next one, once, with all that was said."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from handlers import realtime_connect
from tests.gateway.emulator import Faults
from tests.gateway.sides import Model, deployment, said
from tests.gateway.test_sessions import append, connected, heard, item


def types_of(model: Model) -> list[str]:
    return [msgspec.json.decode(frame)["type"] for frame in model.sent]


def spoken(events: list[Any]) -> str:
    return "".join(e["delta"] for e in events if e["type"].endswith("delta"))


async def until(ready: Any) -> None:
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110  what it waits for has no event
            await asyncio.sleep(0.02)


async def test_at_a_quiet_moment_the_conversation_goes_on_with_another_process():
    first, second = Model(number=1), Model(number=2)
    api, log, _ = deployment(first, second, soft_s=0.5, hard_s=30)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(said(type="session.update", session={"voice": "alto"}))
        await heard(socket, "session.updated")
        await socket.send_str(item("Hello"))
        await heard(socket, "conversation.item.done")
        await socket.send_str(said(type="response.create"))
        assert spoken(await heard(socket, "response.done")) == "I heard 1"
        await until(lambda: len(api.runs) == 2 and len(second.sent) == 2)
        api._soft_s = api._hard_s = 1000.0
        assert first.hung_up.is_set()
        await socket.send_str(item("Again"))
        # Nothing is heard of the new session's beginning, nor of what it was told again.
        assert (await heard(socket, "conversation.item.done"))[0]["item"]["id"] == "item_2_1"
        await socket.send_str(said(type="response.create"))
        assert spoken(await heard(socket, "response.done")) == "I heard 2"
    assert types_of(second)[:2] == ["session.update", "conversation.item.create"]
    assert first.responses == second.responses == 1
    ends = [fields for _, event, fields in log.lines if event == "realtime_session"]
    assert [end["responses"] for end in ends] == [2]
    responses = [fields for _, event, fields in log.lines if event == "realtime_response"]
    assert len(responses) == 2


async def test_an_answer_is_not_cut_for_a_hand_over_that_can_wait():
    going_on = asyncio.Event()
    first, second = Model(number=1, holds=going_on), Model(number=2)
    api, _, _ = deployment(first, second, soft_s=0.2, hard_s=30)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(said(type="response.create"))
        await until(lambda: first.responses == 1)
        await asyncio.sleep(1.2)
        assert len(api.runs) == 1
        going_on.set()
        await heard(socket, "response.done")
        await until(lambda: len(api.runs) == 2)


async def test_an_answer_that_has_to_be_cut_is_told_so_and_not_begun_again():
    first, second = Model(number=1, holds=asyncio.Event()), Model(number=2)
    api, _, _ = deployment(first, second, soft_s=0.3, hard_s=0.9)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(said(type="response.create"))
        error = (await heard(socket, "error"))[-1]
        assert "cut off" in error["error"]["message"]
        await until(lambda: len(api.runs) == 2)
        api._soft_s = api._hard_s = 1000.0
        await asyncio.sleep(0.5)
        await socket.send_str(said(type="response.create"))
        await heard(socket, "response.done")
    assert second.responses == 1


async def test_sound_that_was_not_committed_is_sent_to_the_next_process():
    first, second = Model(number=1), Model(number=2)
    api, _, _ = deployment(first, second, soft_s=0.3, hard_s=0.8)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        for number in range(20):
            await socket.send_str(append(number))
        await until(lambda: len(api.runs) == 2)
        api._soft_s = api._hard_s = 1000.0
        for number in range(20, 30):
            await socket.send_str(append(number))
        await socket.send_str(said(type="input_audio_buffer.commit"))
        await heard(socket, "input_audio_buffer.committed")
    numbers = [
        msgspec.json.decode(frame)["event_id"]
        for frame in second.sent
        if frame.startswith('{"type":"input_audio_buffer.append"')
    ]
    assert numbers == [f"event_{number}" for number in range(30)]


async def test_under_load_nothing_is_lost_and_nothing_answered_twice():
    """Processes that live half a second, a table and posts with faults, questions all the time."""
    models = [Model(number=number) for number in range(40)]
    faults = Faults(delay_s=(0.0, 0.02), post_s=0.005, lost_posts=0.05, duplicates=0.1)
    api, _, _ = deployment(*models, faults=faults, soft_s=0.2, hard_s=20)
    asked = 12
    async with connected(api) as socket:
        await heard(socket, "session.created")
        for number in range(asked):
            await socket.send_str(item(f"question {number}"))
            await heard(socket, "conversation.item.done")
            await socket.send_str(said(type="response.create"))
            # Whatever process answers has been told all that was said before.
            assert spoken(await heard(socket, "response.done")) == f"I heard {number + 1}"
            await asyncio.sleep(0.3 if number % 2 else 0.9)
        used = len(api.runs)
        held = next(iter(api.clients.values()))
    assert used >= 4
    assert sum(model.responses for model in models) == asked
    assert not held.disordered


async def test_a_crash_is_told_and_the_connection_closed():
    api, log, _ = deployment(Model())
    async with connected(api) as socket:
        await heard(socket, "session.created")
        api.crash = lambda _generation: True
        error = (await heard(socket, "error"))[-1]
        assert "connect again" in error["error"]["message"]
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert any(event == "realtime_crashed" for _, event, _ in log.lines)


async def test_a_crash_that_is_told_too_late_disturbs_no_successor():
    first, second = Model(number=1), Model(number=2)
    api, _, _ = deployment(first, second, soft_s=0.3, hard_s=30)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await until(lambda: len(api.runs) == 2 and api.runs[0].done())
        api._soft_s = api._hard_s = 1000.0
        # Lambda tells late, of the process that has handed over.
        connection = next(iter(api.clients))
        payload = {"connection": connection, "generation": 1, "key": "A" * 43 + "="}
        await realtime_connect.answer(api.gateway, {"requestPayload": payload})
        await socket.send_str(said(type="response.create"))
        await heard(socket, "response.done")


async def test_an_event_that_is_delivered_twice_starts_one_process():
    model, other = Model(number=1), Model(number=2)
    api, log, _ = deployment(model, other)
    once = api.__call__
    events: list[bytes] = []

    async def twice(event: bytes) -> None:
        events.append(event)
        await once(event)
        await once(event)

    api.gateway = msgspec.structs.replace(api.gateway, invoke=twice)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        await socket.send_str(said(type="response.create"))
        await heard(socket, "response.done")
    assert (model.responses, other.responses) == (1, 0)
    assert any(event == "realtime_start_refused" for _, event, _ in log.lines)


async def test_a_process_that_was_replaced_cannot_post_any_more():
    first, second = Model(number=1), Model(number=2)
    api, log, _ = deployment(first, second, renewed_s=0.1)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        connection, held = next(iter(api.clients.items()))
        assert await api.mailbox.succeed(connection, 1)
        await until(lambda: any(event == "realtime_replaced" for _, event, _ in log.lines))
        count = len(held.received)
        first.say(said(type="response.output_text.delta", item_id="late", delta="late"))
        await asyncio.sleep(0.3)
        assert len(held.received) == count
        assert not socket.closed  # The connection is its successor's.


async def test_a_lease_that_cannot_be_renewed_lapses():
    model = Model()
    api, log, _ = deployment(model, lease_s=0.6, renewed_s=0.2)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        api.mailbox.down = True
        await until(lambda: any(event == "realtime_replaced" for _, event, _ in log.lines))
        api.mailbox.down = False
        assert not socket.closed


@pytest.mark.parametrize("what", ["lambda", "table"])
async def test_a_hand_over_that_fails_is_told(what: str):
    api, _, _ = deployment(Model(number=1), Model(number=2), soft_s=0.8, hard_s=1.0)
    async with connected(api) as socket:
        await heard(socket, "session.created")
        api.starts_nothing = what == "lambda"
        api.mailbox.down = what == "table"
        error = (await heard(socket, "error"))[-1]
        assert "could not go over" in error["error"]["message"]
        assert (await heard(socket, "cutwater.session.closed"))[-1]["code"] == 1013
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        api.mailbox.down = False
    assert len(api.runs) == 1
