"""A few rows through what surrounds the application: the official SDKs, and the Lambda host."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import msgspec
import openai
import pytest
from google import genai
from google.genai import errors, types

from core.orgs import Org
from tests import events, lambda_host
from tests.fakes import KEY
from tests.faults import plays
from tests.faults.clients import outcome, question
from tests.faults.plays import status
from tests.faults.server import FaultServer, Play, fault_server, in_turn
from tests.faults.speech import DIALECTS, TEXT, DialectName
from tests.faults.world import ONE_ATTEMPT, endpoint, settings, world

ASKED: list[Any] = [{"role": "user", "content": "hi"}]
BASE = "http://cutwater.test"


def sole(server: FaultServer) -> Org:
    return settings([endpoint("a", server, "anthropic")], retry=ONE_ATTEMPT)


@asynccontextmanager
async def sdk_of(play: Play) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        fault_server(in_turn(play)) as server,
        world(sole(server)) as it,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(it.app)) as http,
    ):
        yield http


async def openai_says(http: Any) -> str:
    client = openai.AsyncOpenAI(api_key=KEY, base_url=f"{BASE}/v1", max_retries=0, http_client=http)
    stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
    return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])


async def responses_says(http: Any) -> str:
    client = openai.AsyncOpenAI(api_key=KEY, base_url=f"{BASE}/v1", max_retries=0, http_client=http)
    stream: Any = await client.responses.create(model="m", input="hi", stream=True)
    said = [event async for event in stream]
    return "".join(e.delta for e in said if e.type == "response.output_text.delta")


async def anthropic_says(http: Any) -> str:
    client = anthropic.AsyncAnthropic(api_key=KEY, base_url=BASE, max_retries=0, http_client=http)
    async with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        return "".join([text async for text in stream.text_stream])


async def google_says(http: Any) -> str:
    options = types.HttpOptions(base_url=BASE, httpx_async_client=http)
    client = genai.Client(api_key=KEY, http_options=options).aio
    stream = await client.models.generate_content_stream(model="m", contents="hi")
    return "".join([chunk.text or "" async for chunk in stream])


SDKS = {
    "openai": openai_says,
    "responses": responses_says,
    "anthropic": anthropic_says,
    "google": google_says,
}
FAILED = (
    openai.APIError,
    anthropic.APIError,
    errors.APIError,
    genai.errors.UnknownApiResponseError,
)
in_every_sdk = pytest.mark.parametrize("sdk", SDKS)


@in_every_sdk
@pytest.mark.parametrize("play", [plays.fine, plays.trickle, plays.encoded("gzip")])
async def test_an_sdk_reads_the_whole_answer(sdk: str, play: Play) -> None:
    async with sdk_of(play) as http:
        assert await SDKS[sdk](http) == TEXT


@in_every_sdk
@pytest.mark.parametrize(
    "play",
    [
        plays.cut_mid_event,
        plays.end_between_events,
        plays.stall_mid_answer,
        plays.error_event("words"),
        plays.reset_before_head,
        status(503),
    ],
)
async def test_an_sdk_raises_where_the_answer_is_not_whole(sdk: str, play: Play) -> None:
    async with sdk_of(play) as http:
        with pytest.raises(FAILED):
            await SDKS[sdk](http)


# --- Lambda ---------------------------------------------------------------------------------------

IN_LAMBDA: list[tuple[Play, str, str]] = [
    (plays.fine, "complete", "complete"),
    (plays.cut_mid_event, "status", "event"),
    (plays.stall_mid_answer, "status", "event"),
    (plays.stall_before_head, "status", "status"),
    (plays.no_json, "status", "status"),
    (status(529), "status", "status"),
]


def event_of(client: DialectName, *, stream: bool, kind: str) -> Any:
    path, body = question(client, stream=stream)
    path, _, query = path.partition("?")
    event = events.load(kind)
    event["body"] = msgspec.json.encode(body).decode()
    event["isBase64Encoded"] = False
    if kind == "rest_post":
        event["path"] = event["requestContext"]["path"] = path
        pairs = dict([query.split("=")]) if query else None
        event["queryStringParameters"] = pairs
        event["multiValueQueryStringParameters"] = pairs and {n: [v] for n, v in pairs.items()}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        event["headers"] = headers
        event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return event


@pytest.mark.parametrize("client", DIALECTS)
async def test_the_lambda_host_tells_the_same_as_a_server(
    client: DialectName, tmp_path: Path
) -> None:
    """One function; the script of the provider is changed under it."""
    async with fault_server(in_turn(plays.fine)) as server:
        file = tmp_path / "org.json"
        file.write_bytes(document(server))
        environment = {"CUTWATER_ORG_FILES": str(file), "CUTWATER_STREAMING": "on"}
        async with lambda_host.running(
            "handlers.http.handler", tmp_path, environment=environment
        ) as host:
            for play, whole, streamed in IN_LAMBDA:
                server.script = in_turn(play)
                for stream, end in ((False, whole), (True, streamed)):
                    asked = event_of(client, stream=stream, kind="rest_post")
                    done = await host.invoke(asked).result()
                    head = done.head
                    headers = {name.lower(): value for name, value in head["headers"].items()}
                    found = outcome(
                        client, head["statusCode"], headers, done.content, stream=stream
                    )
                    assert found.end == end, f"{play}: {found}"
                    if end == "complete":
                        assert found.text == TEXT


def document(server: FaultServer) -> bytes:
    it = {
        "name": "acme",
        "keys": [{"name": "ci", "key": KEY}],
        "endpoints": [endpoint("a", server, "anthropic")],
        "timeouts": {"connect_s": 1, "first_byte_s": 0.4, "idle_s": 0.4, "total_s": 3},
        "retry": ONE_ATTEMPT,
    }
    return msgspec.json.encode(it)
