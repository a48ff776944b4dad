"""Recorded sessions of openai, azure and xAI through `cutwater serve`, and public clients."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import openai
import pytest
from msgspec import Struct
from openai import AsyncOpenAI

from tests.e2e import realtime_stack, tls_front
from tests.e2e.realtime_stack import KEY, Stack

pytestmark = pytest.mark.corpus
TEXT = "openai-realtime-2c60f486-0"
"""A conversation in text; its model is `gpt-realtime`."""
NODE = Path(__file__).parent / "node"
SECONDS = 20.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    with realtime_stack.running(tmp_path_factory.mktemp("realtime")) as servers:
        yield servers


def events_of(name, side="server"):
    frames = realtime_stack.session(name).frames
    return [msgspec.json.decode(frame.text) for frame in frames if frame.dir == side and frame.text]


def received(stack, name):
    """What the provider got, connection by connection."""
    status, connections = stack.replay.get(f"/_received/{name}?all=1")
    assert status == 200
    return connections


async def play(socket, part):
    """One connection of a recording, from the client's side."""
    for frame in part:
        if frame.close is not None:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.CLOSE
            assert message.data == frame.close["code"]
            assert message.extra == frame.close["reason"]
        elif frame.dir == "client":
            await socket.send_str(frame.text)
        else:
            message = await socket.receive()
            assert message.data == frame.text
    await socket.close()


@pytest.mark.parametrize("name", realtime_stack.ids())
async def test_a_recorded_session_passes_equal_and_in_order_both_ways(stack, name):
    recorded = realtime_stack.session(name)
    before = len(received(stack, name)) if _played(stack, name) else 0
    headers = {"authorization": f"Bearer {KEY}", "x-bt-endpoint-name": name}
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as client:
        for part in recorded.parts:
            async with client.ws_connect(
                f"{stack.url}?model={recorded.model}", headers=headers
            ) as socket:
                await play(socket, part)
    connections = received(stack, name)[before:]
    assert len(connections) == len(recorded.parts)
    for connection, part in zip(connections, recorded.parts, strict=True):
        sent = [msgspec.json.decode(frame.text) for frame in part if frame.dir == "client"]
        assert connection["frames"] == sent
        assert connection["notes"] == []
        assert KEY not in repr(connection)


def _played(stack, name):
    return stack.replay.get(f"/_received/{name}")[0] == 200


async def test_the_openai_sdk_for_python_holds_a_conversation(stack):
    client = AsyncOpenAI(base_url=f"{stack.cutwater.url}/v1", api_key=KEY, max_retries=0)
    frames = list(realtime_stack.session(TEXT).frames)
    heard = []
    async with asyncio.timeout(SECONDS):
        async with client.realtime.connect(
            model="gpt-realtime", extra_headers={"x-bt-endpoint-name": TEXT}
        ) as connection:
            for frame in frames:
                if frame.dir == "client":
                    await connection.send(msgspec.json.decode(frame.text))
                else:
                    heard.append(msgspec.json.decode(await connection.recv_bytes()))
    await client.close()
    assert heard == events_of(TEXT)


async def test_the_openai_sdk_for_python_can_read_why_it_is_refused(stack):
    client = AsyncOpenAI(base_url=f"{stack.cutwater.url}/v1", api_key="cw_unknown_0123456789")
    async with asyncio.timeout(SECONDS):
        async with client.realtime.connect(model="gpt-realtime") as connection:
            event = await connection.recv()
    await client.close()
    assert event.type == "error"
    assert event.error.code == "invalid_api_key"
    assert "not known" in event.error.message


async def test_the_openai_sdk_gets_the_providers_short_lived_secret(stack):
    name = "openai-realtime-client-secrets-c62931e5-0"
    client = AsyncOpenAI(
        base_url=f"{stack.cutwater.url}/v1",
        api_key=KEY,
        max_retries=0,
        default_headers={"x-bt-endpoint-name": name},
    )
    secret = await client.realtime.client_secrets.create(
        session={"type": "realtime", "model": "gpt-realtime"}
    )
    with pytest.raises(openai.NotFoundError):
        await client.realtime.client_secrets.create(
            session={"type": "realtime", "model": "nobody-serves-this"}
        )
    await client.close()
    assert secret.value == "ek_scrubbed"
    (asked,) = received(stack, name)
    assert asked["path"] == "/v1/realtime/client_secrets"
    assert asked["body"]["session"]["model"] == "gpt-realtime"


class Front(Struct, frozen=True):
    """Cutwater with one session to play, with TLS before it and without."""

    plain: str
    secure: str
    certificate: Path


@pytest.fixture(scope="module")
def front(tmp_path_factory) -> Iterator[Front]:
    """One endpoint: clients that can send no header of ours get the session that they play."""
    folder = tmp_path_factory.mktemp("front")
    with realtime_stack.running(folder, only=TEXT) as servers:
        port = int(servers.cutwater.url.rpartition(":")[2])
        with tls_front.running(folder, port) as (secure, certificate):
            yield Front(servers.cutwater.url, secure, certificate)


def played(front, client, *, key=KEY, **more):
    """What a public client heard of the recorded session; the `openai` package insists on TLS."""
    if shutil.which("node") is None or not (NODE / "node_modules" / "openai").is_dir():
        reason = f"Node.js 20 and `npm install` in {NODE.relative_to(NODE.parents[2])} are needed"
        if os.environ.get("CUTWATER_REQUIRE_NODE") == "1":
            pytest.fail(f"{reason}, and CUTWATER_REQUIRE_NODE=1 forbids to skip.", pytrace=False)
        pytest.skip(f"{reason}.")
    frames = [
        {"dir": frame.dir, "text": frame.text} for frame in realtime_stack.session(TEXT).frames
    ]
    asked = {
        "client": client,
        "url": f"{front.plain if client == 'agents' else front.secure}/v1",
        "key": key,
        "model": "gpt-realtime",
        "frames": frames,
        **more,
    }
    done = subprocess.run(
        ["node", "play.mjs"],
        cwd=NODE,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(front.certificate)},
        input=msgspec.json.encode(asked),
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return msgspec.json.decode(done.stdout)


def test_the_openai_package_in_node_holds_a_conversation(front):
    said = played(front, "openai")
    assert said["events"] == events_of(TEXT)
    assert said["close"] == [1000, "OK"]


def test_the_openai_package_in_node_can_read_why_it_is_refused(front):
    said = played(front, "openai", key="cw_unknown_0123456789")
    (event,) = said["events"]
    assert (event["type"], event["error"]["code"]) == ("error", "invalid_api_key")
    assert said["close"] == [3000, "authentication_error.invalid_api_key"]


def test_the_agents_sdk_in_node_holds_a_conversation(front):
    said = played(front, "agents")
    # It hands on what it knows of an event, which leaves out some fields.
    heard = [(event["event_id"], event.get("delta")) for event in said["events"]]
    assert heard == [(event["event_id"], event.get("delta")) for event in events_of(TEXT)]


def test_a_page_in_chromium_holds_a_conversation_with_the_key_in_a_subprotocol(front):
    said = played(front, "browser", browser=_chromium())
    assert said["events"] == events_of(TEXT)
    assert said["protocol"] == "realtime"
    assert said["close"] == [1000, "OK"]


def test_a_page_in_chromium_can_read_why_it_is_refused(front):
    said = played(front, "browser", browser=_chromium(), key="cw_unknown_0123456789")
    (event,) = said["events"]
    assert (event["type"], event["error"]["code"]) == ("error", "invalid_api_key")
    assert said["close"] == [3000, "authentication_error.invalid_api_key"]


def _chromium():
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return pytest.skip("Chromium is not installed: `apt-get install chromium`.")
