"""Counting tokens: four clients in front of all that counts, and a 400 in front of the rest."""

from base64 import b64decode
from typing import Any

import msgspec
import pytest

from core import routes
from tests import corpus
from tests.in_process import app, ask
from tests.stand_ins import FakeUpstream, Reply

pytestmark = pytest.mark.timeout(20)

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}
ANTHROPIC = {
    "system": "Be terse.",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"name": "weather", "input_schema": TOOL}],
}
RESPONSES = {
    "instructions": "Be terse.",
    "input": "Hello",
    "tools": [{"type": "function", "name": "weather", "parameters": TOOL}],
}
GEMINI = {
    "generateContentRequest": {
        "model": "models/whatever",
        "systemInstruction": {"parts": [{"text": "Be terse."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": TOOL}]}],
    }
}
CONVERSE = {
    "input": {
        "converse": {
            "system": [{"text": "Be terse."}],
            "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": TOOL}}}]
            },
        }
    }
}
CLIENTS = {
    "anthropic": ("/v1/messages/count_tokens", ANTHROPIC, {"input_tokens": 7}),
    "responses": (
        "/v1/responses/input_tokens",
        RESPONSES,
        {"object": "response.input_tokens", "input_tokens": 7},
    ),
    "gemini": ("/v1beta/models/{model}:countTokens", GEMINI, {"totalTokens": 7}),
    "converse": ("/model/{model}/count-tokens", CONVERSE, {"inputTokens": 7}),
}

OPENAI = {"type": "openai", "secret": "sk-prov-123456"}
CLAUDE = {"type": "anthropic", "secret": "sk-ant-123456"}
GOOGLE = {"type": "google", "secret": "AIza123456"}
BEDROCK = {
    "type": "bedrock",
    "secret": "s" * 40,
    "metadata": {"region": "us-east-1", "access_key": "AKIA"},
}
VERTEX = {
    "type": "vertex",
    "secret": "token",
    "metadata": {"project": "p", "location": "l", "auth_type": "access_token"},
}
ON_VERTEX = "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers"
ON_BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
TARGETS = {
    "openai": (
        OPENAI,
        "gpt-4o",
        "https://api.openai.com/v1/responses/input_tokens",
        {"object": "response.input_tokens", "input_tokens": 7},
    ),
    "anthropic": (
        CLAUDE,
        "claude-sonnet-4-5",
        "https://api.anthropic.com/v1/messages/count_tokens",
        {"input_tokens": 7},
    ),
    "google": (
        GOOGLE,
        "gemini-2.5-flash",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:countTokens",
        {"totalTokens": 7, "promptTokensDetails": []},
    ),
    "gemini on vertex": (
        VERTEX,
        "gemini-2.5-flash",
        f"{ON_VERTEX}/google/models/gemini-2.5-flash:countTokens",
        {"totalTokens": 7, "totalBillableCharacters": 9},
    ),
    "claude on vertex": (
        VERTEX,
        "claude-sonnet-4-5-20250929",
        f"{ON_VERTEX}/anthropic/models/count-tokens:rawPredict",
        {"input_tokens": 7},
    ),
    "claude on bedrock": (
        BEDROCK,
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        f"{ON_BEDROCK}/anthropic.claude-sonnet-4-20250514-v1%3A0/count-tokens",
        {"inputTokens": 7},
    ),
    "converse": (
        BEDROCK,
        "amazon.nova-pro-v1:0",
        f"{ON_BEDROCK}/amazon.nova-pro-v1%3A0/count-tokens",
        {"inputTokens": 7},
    ),
}


def opened(sent: bytes) -> Any:
    """The request inside whatever a counting API wraps around it."""
    body = msgspec.json.decode(sent)
    match body:
        case {"generateContentRequest": inner} | {"input": {"converse": inner}}:
            return inner
        case {"input": {"invokeModel": {"body": encoded}}}:
            return msgspec.json.decode(b64decode(encoded))
    return body


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("target", TARGETS)
async def test_every_client_counts_with_every_provider_that_counts(client: str, target: str):
    path, body, expected = CLIENTS[client]
    endpoint, model, url, answered = TARGETS[target]
    upstream = FakeUpstream(Reply(body=msgspec.json.encode(answered)))
    asked = {**body, "model": model} if "{model}" not in path else body
    answer = await ask(app(upstream, [endpoint]), path.replace("{model}", model), asked)
    assert (answer.status, answer.json | expected) == (200, answer.json)
    (sent,) = upstream.sent
    assert sent.url == url
    told = msgspec.json.encode(opened(sent.body)).decode()
    assert "Be terse." in told
    assert "Hello" in told
    assert '"weather"' in told
    assert "temperature" not in told


async def test_what_only_changes_the_answer_is_not_counted():
    upstream = FakeUpstream(Reply(body=b'{"input_tokens":7}'))
    fields = {"generationConfig": {"temperature": 0.5, "maxOutputTokens": 9, "topK": 3}}
    body = {"generateContentRequest": {**GEMINI["generateContentRequest"], **fields}}
    path = "/v1beta/models/claude-sonnet-4-5:countTokens"
    await ask(app(upstream, [CLAUDE]), path, body)
    assert msgspec.json.decode(upstream.sent[0].body).keys() == {
        "model",
        "messages",
        "system",
        "tools",
    }


async def test_the_same_way_to_count_gets_the_clients_own_bytes_and_gives_the_providers():
    body = b'{ "model": "claude-sonnet-4-5", "messages": [], "wild": 1.50 }'
    upstream = FakeUpstream(Reply(body=b'{"input_tokens":14, "new":1}'))
    answer = await ask(app(upstream, [CLAUDE]), "/v1/messages/count_tokens?beta=true", body)
    assert (answer.body, upstream.sent[0].body) == (b'{"input_tokens":14, "new":1}', body)
    body = b'{ "contents": [ ] }'
    for endpoint in (GOOGLE, VERTEX):
        upstream = FakeUpstream(Reply(body=b'{"totalTokens":1}'))
        await ask(app(upstream, [endpoint]), "/v1beta/models/gemini-2.5-flash:countTokens", body)
        assert upstream.sent[0].body == body


async def test_google_and_vertex_count_each_others_requests():
    upstream = FakeUpstream(Reply(body=b'{"totalTokens":1}'))
    path = "/v1beta/models/gemini-2.5-flash:countTokens"
    await ask(app(upstream, [VERTEX]), path, GEMINI)
    assert "contents" in msgspec.json.decode(upstream.sent[0].body)
    inner = {n: v for n, v in GEMINI["generateContentRequest"].items() if n != "model"}
    await ask(app(upstream, [GOOGLE]), path, inner)
    wrapped = msgspec.json.decode(upstream.sent[1].body)["generateContentRequest"]
    assert wrapped == {"model": "models/gemini-2.5-flash", **inner}


async def test_claude_on_vertex_is_named_as_vertex_names_it():
    upstream = FakeUpstream(Reply(body=b'{"input_tokens":7}'))
    body = {"model": "claude-sonnet-4-5-20250929", **ANTHROPIC}
    await ask(app(upstream, [VERTEX]), "/v1/messages/count_tokens", body)
    sent = msgspec.json.decode(upstream.sent[0].body)
    assert sent["model"] == "claude-sonnet-4-5@20250929"
    assert sent["anthropic_version"] == "vertex-2023-10-16"


async def test_claude_on_bedrock_gets_the_whole_body_that_invoking_takes():
    upstream = FakeUpstream(Reply(body=b'{"inputTokens":7}'))
    body = {"model": "anthropic.claude-sonnet-4-20250514-v1:0", **ANTHROPIC}
    await ask(app(upstream, [BEDROCK]), "/v1/messages/count_tokens", body)
    assert opened(upstream.sent[0].body) == {
        "max_tokens": 4096,
        "anthropic_version": "bedrock-2023-05-31",
        **ANTHROPIC,
    }


NOBODY_COUNTS = [
    ({"type": "mistral", "secret": "k"}, "mistral-large-latest"),
    ({"type": "groq", "secret": "gsk_123456789"}, "llama-3.3-70b-versatile"),
    (None, "demo-echo"),
]


@pytest.mark.parametrize(("endpoint", "model"), NOBODY_COUNTS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_provider_that_counts_nothing_is_a_400_that_says_so(
    client: str, endpoint: dict[str, Any] | None, model: str
):
    path, body, _ = CLIENTS[client]
    upstream = FakeUpstream(Reply())
    asked = {**body, "model": model} if "{model}" not in path else body
    endpoints = [] if endpoint is None else [{**endpoint, "metadata": {"models": [model]}}]
    answer = await ask(app(upstream, endpoints), path.replace("{model}", model), asked)
    assert (answer.status, upstream.sent) == (400, [])
    assert b"cannot be counted" in answer.body


async def test_without_a_model_openais_own_endpoint_is_asked():
    upstream = FakeUpstream(Reply(body=b'{"input_tokens":3}'))
    body = {"previous_response_id": "resp_1"}
    answer = await ask(app(upstream, [CLAUDE, OPENAI]), "/v1/responses/input_tokens", body)
    assert answer.json == {"input_tokens": 3}
    assert upstream.sent[0].url == "https://api.openai.com/v1/responses/input_tokens"


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (Reply(status=400, body=b'{"message":"no such model"}'), 400, "no such model"),
        (Reply(status=403, body=b'{"message":"denied"}'), 502, "check its secret"),
        (Reply(body=b'{"tokens":1}'), 502, "no number"),
        (Reply(body=b'{"inputTokens":"many"}'), 502, "no number"),
        (Reply(body=b"\xff"), 502, "no number"),
    ],
)
async def test_a_failure_is_told_in_the_clients_own_shape(reply: Reply, status: int, message: str):
    body = {"model": "amazon.nova-pro-v1:0", **ANTHROPIC}
    answer = await ask(app(FakeUpstream(reply), [BEDROCK]), "/v1/messages/count_tokens", body)
    assert (answer.status, answer.json["type"]) == (status, "error")
    assert message in answer.json["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/responses/input_tokens"])
async def test_nobody_counts_without_a_key(path: str):
    upstream = FakeUpstream(Reply())
    answer = await ask(app(upstream, [OPENAI]), path, {}, headers={"authorization": ""})
    assert (answer.status, upstream.sent) == (401, [])


async def test_explain_shows_what_would_be_counted():
    body = {"route": "/v1/messages/count_tokens", "model": "gpt-4o", **ANTHROPIC}
    answer = await ask(app(FakeUpstream(Reply()), [OPENAI]), "/v1/explain", body)
    (found,) = answer.json["candidates"]
    assert found["url"] == "https://api.openai.com/v1/responses/input_tokens"
    assert found["body"].keys() == {"model", "input", "tools"}


@pytest.mark.parametrize(
    ("path", "dialect", "there"),
    [
        ("/v1/messages/count_tokens", "anthropic", "/messages/count_tokens"),
        ("/anthropic/v1/messages/count_tokens", "anthropic", "/messages/count_tokens"),
        ("/anthropic/messages/count_tokens", "anthropic", "/messages/count_tokens"),
        ("/v1beta/models/a%2Fb:countTokens", "gemini", "/models/{model}:countTokens"),
        ("/v1/responses/input_tokens", "openai_responses", "/responses/input_tokens"),
        ("/bedrock/model/m/count-tokens", "converse", "/model/{model}/count-tokens"),
    ],
)
def test_the_paths_of_four_apis_count(path: str, dialect: str, there: str):
    route = routes.resolve("POST", path, {})
    assert (route.kind, route.dialect, route.path) == ("count", dialect, there)


RECORDED = {
    "anthropic.count_tokens": CLAUDE,
    "google.countTokens": GOOGLE,
    "vertex.countTokens": VERTEX,
    "bedrock.count-tokens": BEDROCK,
}
FIELD = {"anthropic": "input_tokens", "responses": "input_tokens"}
FIELD |= {"gemini": "totalTokens", "converse": "inputTokens"}


@pytest.mark.corpus
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("api", RECORDED)
async def test_every_recorded_count_is_read_by_every_client(api: str, client: str):
    for recording in corpus.recordings(api):
        model = recording.model
        path, body, _ = CLIENTS[client]
        asked = {**body, "model": model} if "{model}" not in path else body
        said = recording.response
        upstream = FakeUpstream(Reply(status=said.status, body=msgspec.json.encode(said.body)))
        endpoint = RECORDED[api]
        metadata = {**endpoint.get("metadata", {}), "models": [model]}
        running = app(upstream, [{**endpoint, "metadata": metadata}])
        answer = await ask(running, path.replace("{model}", model), asked)
        assert answer.status == said.status, recording.id
        if said.status == 200:
            numbers = [said.body.get(name) for name in FIELD.values()]
            (count,) = {number for number in numbers if number is not None}
            assert answer.json[FIELD[client]] == count, recording.id


@pytest.mark.parametrize(
    ("form", "path", "there"),
    [
        ("google", "/v1beta/models/m:countTokens", "https://c.test/models/m:countTokens"),
        ("anthropic", "/v1/messages/count_tokens", "https://c.test/messages/count_tokens"),
    ],
)
async def test_an_address_of_ones_own_is_asked_in_its_own_format(form: str, path: str, there: str):
    upstream = FakeUpstream(Reply(body=b'{"totalTokens":1}'))
    metadata = {"api_base": "https://c.test", "format": form}
    body = {"model": "m", **(GEMINI if form == "google" else ANTHROPIC)}
    answer = await ask(app(upstream, [{"type": "custom", "metadata": metadata}]), path, body)
    assert (answer.status, upstream.sent[0].url) == (200, there)
