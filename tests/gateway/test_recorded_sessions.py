"""Recorded sessions of openai, azure and xAI through API Gateway, in order and in disorder.

Deltas may be joined on their way to the client: both sides are compared with all of them joined.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

from core.relay import coalescing, events
from handlers import wiring
from handlers.realtime_session import Gateway
from tests import corpus, processes
from tests.e2e import realtime_stack
from tests.e2e.realtime_stack import KEY, Session
from tests.gateway import emulator
from tests.gateway.emulator import Api, Faults, MemoryMailbox
from tests.processes import Server

pytestmark = pytest.mark.corpus
SECONDS = 60.0
DISORDER = Faults(delay_s=(0.0, 0.03), tie_ms=1, duplicates=0.2, lost_posts=0.02, post_s=0.002)


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("replay")
    with processes.replay_upstream(folder, corpus.require(), [*realtime_stack.TYPES]) as server:
        yield server


def deployed(replay: Server, recorded: Session, faults: Faults) -> tuple[Api, Any]:
    endpoint = realtime_stack.endpoint(recorded, replay.url)
    endpoint["metadata"]["models"] = [recorded.model or "gpt-realtime"]
    document = {"name": "acme", "keys": [{"name": "ci", "key": KEY}], "endpoints": [endpoint]}
    org = wiring.parse_org(msgspec.json.encode(document), "acme")
    app = wiring.build({}, {"acme": org})

    def make(api: Api, mailbox: MemoryMailbox) -> Gateway:
        return Gateway(services=app.services, mailbox=mailbox, connections=api, invoke=api)

    return Api(make, faults), app


def joined(frames: Iterable[str]) -> list[Any]:
    return [msgspec.json.decode(one) for one in coalescing.merged(frames, most=1 << 30)]


async def play(socket: Any, part: list[Any]) -> list[str]:
    """The client's side of one connection. Says a frame once all that came before it has come."""
    received: list[str] = []
    expected: list[str] = []

    async def read() -> None:
        while joined(received) != joined(expected):
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, (message, expected[-1][:200])
            received.append(message.data)

    for frame in part:
        if frame.close is not None:
            await read()
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                told = msgspec.json.decode(message.data)
                assert told["type"] == "cutwater.session.closed"
                assert (told["code"], told["reason"]) == (
                    frame.close["code"],
                    frame.close["reason"],
                )
                message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSE
        elif frame.dir == "client":
            await read()
            await socket.send_str(frame.text)
            if events.type_of(frame.text) == "input_audio_buffer.append":
                await asyncio.sleep(0.002)  # Arrival times differ, as they do in life.
        else:
            expected.append(frame.text)
    await read()
    return received


@pytest.mark.parametrize("faults", [Faults(), DISORDER], ids=["calm", "disorder"])
@pytest.mark.parametrize("name", realtime_stack.ids())
async def test_a_recorded_session_passes_whole_and_in_order_both_ways(
    replay: Server, name: str, faults: Faults
):
    recorded = realtime_stack.session(name)
    if any(len(f.text.encode()) > emulator.FRAME for f in recorded.frames if f.dir == "client"):
        pytest.skip("A frame of the client is larger than API Gateway takes.")
    status, before = replay.get(f"/_received/{name}?all=1")
    api, app = deployed(replay, recorded, faults)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        asyncio.timeout(SECONDS),
        emulator.running(api) as url,
        aiohttp.ClientSession() as client,
    ):
        for part in recorded.parts:
            address = f"{url}?model={recorded.model or 'gpt-realtime'}"
            async with client.ws_connect(address, headers=headers) as socket:
                await play(socket, part)
        await asyncio.wait(api.runs, timeout=10)
        assert api.failures == []
        await app.shutdown()
    _, connections = replay.get(f"/_received/{name}?all=1")
    connections = connections[len(before) if status == 200 else 0 :]
    assert len(connections) == len(recorded.parts)
    for connection, part in zip(connections, recorded.parts, strict=True):
        sent = [msgspec.json.decode(frame.text) for frame in part if frame.dir == "client"]
        assert connection["frames"] == sent
        assert KEY not in repr(connection)
    assert not any(held.disordered for held in api.clients.values())
