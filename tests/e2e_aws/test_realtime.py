"""A realtime session through the deployed WebSocket API, with a provider that echoes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.e2e_aws.stack import Deployed

pytestmark = pytest.mark.timeout(240)
SECONDS = 90.0
QUERY = "?model=gpt-realtime"


class Echo:
    """A provider: says that a session has begun, then whatever it hears."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []
        self.left = asyncio.Event()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        self.keys.append(request.headers.get("authorization"))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"type":"session.created","session":{"id":"sess_1"}}')
        async for message in socket:
            await socket.send_str(message.data)
        self.left.set()
        return socket


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, str]]:
    echo, app = Echo(), web.Application()
    app.router.add_get("/v1/realtime", echo.handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    try:
        yield echo, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        await runner.cleanup()


def key_of_an_organisation(deployed: Deployed, folder: Path, base: str) -> str:
    metadata = {"api_base": base}
    endpoint = {"type": "openai", "name": "echo", "secret": "sk-of-the-endpoint"}
    document = {"name": "spoken", "endpoints": [{**endpoint, "metadata": metadata}]}
    file = folder / "spoken.json"
    file.write_bytes(msgspec.json.encode(document))
    deployed.run("org", "apply", str(file))
    found: str = deployed.json("key", "create", "--org", "spoken", "--name", "e2e")["key"]
    return found


def rows(deployed: Deployed) -> list[dict[str, Any]]:
    table = deployed.outputs["MailboxName"]
    found: list[dict[str, Any]] = deployed.client("dynamodb").scan(TableName=table)["Items"]
    return found


async def test_a_session_is_connected_echoed_and_left(deployed: Deployed, tmp_path: Path):
    async with echoing() as (echo, base), asyncio.timeout(SECONDS):
        key = await asyncio.to_thread(key_of_an_organisation, deployed, tmp_path, base)
        headers = {"authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession() as client:
            async with client.ws_connect(deployed.realtime_url + QUERY, headers=headers) as socket:
                created = msgspec.json.decode(await socket.receive_str())
                assert created["type"] == "session.created"
                for number in range(5):
                    frame = f'{{"type":"cutwater.test", "said":"é \\" {number}"}}'
                    await socket.send_str(frame)
                    assert await socket.receive_str() == frame
            await echo.left.wait()
        await asyncio.to_thread(deployed.run, "org", "delete", "spoken", "--yes")
    assert echo.keys == ["Bearer sk-of-the-endpoint"]
    kept = rows(deployed)
    frames = [row for row in kept if "/m/" in row["sk"]["S"]]
    assert len(frames) == 5
    assert any("/d/" in row["sk"]["S"] for row in kept)
    now = time.time()
    for row in kept:  # What is over goes by itself: the table's TTL is on this attribute.
        assert now + 3600 < int(row["expires_at"]["N"]) < now + 4 * 3600
    [state] = [row for row in kept if row["sk"]["S"].startswith("state#")]
    assert key.encode() not in bytes(state["data"]["B"])


async def test_who_is_not_known_is_not_let_in(deployed: Deployed):
    headers = {"authorization": "Bearer cw_" + "0" * 48}
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect(deployed.realtime_url + QUERY, headers=headers)
