"""Google's own SDK, and a client without one, against the application in this process."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from google import genai
from google.genai import errors, types

from handlers import wiring
from handlers.app import App

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    found = wiring.build({})
    yield found
    await found.shutdown()


@pytest.fixture
async def http(app: App) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport) as client:
        yield client


@pytest.fixture
def google(http: httpx2.AsyncClient) -> Any:
    options = types.HttpOptions(base_url="http://cutwater.test", httpx_async_client=http)
    return genai.Client(api_key="demo", http_options=options).aio


async def test_the_sdk_reads_a_whole_answer(google: Any) -> None:
    answer = await google.models.generate_content(model="demo-echo", contents="Hello from here")
    assert answer.text == "Hello from here"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.total_token_count


async def test_the_sdk_reads_a_stream(google: Any) -> None:
    stream = await google.models.generate_content_stream(
        model="demo-echo", contents="Hello from here"
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello from here"
    assert len(chunks) > 2
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.total_token_count


async def test_the_sdks_chat_remembers_what_was_said(google: Any) -> None:
    chat = google.chats.create(model="demo-echo")
    async for _ in await chat.send_message_stream("One two"):
        pass
    answer = await chat.send_message("Three")
    assert answer.text == "Three"
    assert {content.role for content in chat.get_history(curated=True)} == {"user", "model"}


async def test_the_sdk_calls_tools_whole_and_streamed(google: Any) -> None:
    parameters = types.Schema(type=types.Type.OBJECT, properties={"city": {"type": "STRING"}})
    weather = types.FunctionDeclaration(name="weather", description="w", parameters=parameters)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[weather])],
        system_instruction="Be brief.",
        temperature=0,
        thinking_config=types.ThinkingConfig(thinking_budget=0),
    )
    answer = await google.models.generate_content(
        model="demo-tools", contents="How is it?", config=config
    )
    assert [call.name for call in answer.function_calls] == ["weather"]
    stream = await google.models.generate_content_stream(
        model="demo-tools", contents="How is it?", config=config
    )
    calls = [call async for chunk in stream for call in chunk.function_calls or ()]
    assert [call.name for call in calls] == ["weather"]
    response = types.Part.from_function_response(name="weather", response={"result": "sunny"})
    history = [
        types.Content(role="user", parts=[types.Part(text="How is it?")]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[response]),
    ]
    done = await google.models.generate_content(model="demo-echo", contents=history, config=config)
    assert done.candidates[0].finish_reason == types.FinishReason.STOP


@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("demo-fault-400", 400, "INVALID_ARGUMENT"),
        ("demo-fault-429", 429, "RESOURCE_EXHAUSTED"),
        ("demo-fault-503", 503, "UNAVAILABLE"),
    ],
)
async def test_the_sdk_understands_an_error(
    google: Any, model: str, code: int, status: str
) -> None:
    with pytest.raises(errors.APIError) as caught:
        await google.models.generate_content(model=model, contents="hi")
    assert (caught.value.code, caught.value.status) == (code, status)


async def test_the_sdk_understands_an_error_inside_a_stream(google: Any) -> None:
    stream = await google.models.generate_content_stream(model="demo-fault-error", contents="a b c")
    said = []
    with pytest.raises(errors.APIError):
        said += [chunk.text async for chunk in stream]


async def post(http: httpx2.AsyncClient, path: str, **headers: str) -> httpx2.Response:
    body = {"contents": [{"parts": [{"text": "Hello from here"}]}]}
    return await http.post(f"http://cutwater.test{path}", json=body, headers=headers)


async def test_without_alt_sse_a_stream_is_one_array(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1beta/models/demo-echo:streamGenerateContent?key=demo")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    chunks = msgspec.json.decode(answer.content)
    said = [part["text"] for c in chunks for part in c["candidates"][0]["content"]["parts"]]
    assert "".join(said) == "Hello from here"
    assert len(chunks) > 2


async def test_an_error_inside_the_array_is_an_element_of_it(http: httpx2.AsyncClient) -> None:
    answer = await post(http, "/v1beta/models/demo-fault-cut:streamGenerateContent?key=demo")
    *chunks, last = msgspec.json.decode(answer.content)
    assert chunks
    assert last["error"]["status"] == "UNAVAILABLE"


async def test_a_key_may_come_in_the_query_or_not_at_all(http: httpx2.AsyncClient) -> None:
    path = "/google/v1beta/models/demo-echo:generateContent"
    assert (await post(http, f"{path}?alt=json&key=demo")).status_code == 200
    assert (await post(http, path, **{"x-goog-api-key": "demo"})).status_code == 200
    refused = await post(http, f"{path}?key=")
    assert refused.status_code == 401
    assert refused.json()["error"]["status"] == "UNAUTHENTICATED"
