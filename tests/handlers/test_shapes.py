"""Embeddings in front of every provider, and /auto."""

from typing import Any

import msgspec
import pytest

from tests.in_process import app, ask
from tests.stand_ins import FakeUpstream, Reply

pytestmark = pytest.mark.timeout(20)

OPENAI = {"type": "openai", "name": "oa", "secret": "sk-prov-123456"}
BEDROCK = {
    "type": "bedrock",
    "name": "bd",
    "secret": "s" * 40,
    "metadata": {"region": "us-east-1", "access_key": "AKIA"},
}
VERTEX = {
    "type": "vertex",
    "secret": "token",
    "metadata": {"project": "p", "location": "l", "auth_type": "access_token"},
}
TITAN = "amazon.titan-embed-text-v2:0"


def said(document: Any, status: int = 200) -> Reply:
    return Reply(status=status, body=msgspec.json.encode(document))


async def test_openais_bytes_go_through_both_ways():
    reply = Reply(body=b'{"data":[{"embedding":[1.50]}], "new":1}')
    upstream = FakeUpstream(reply)
    body = b'{ "model": "text-embedding-3-small", "input": [1, 2], "wild": 1.0}'
    answer = await ask(app(upstream, [OPENAI]), "/v1/embeddings", body)
    assert (answer.status, answer.body) == (200, reply.body)
    assert upstream.sent[0].body == body
    assert upstream.sent[0].url == "https://api.openai.com/v1/embeddings"


async def test_titan_gets_one_text_at_a_time_and_the_client_one_answer():
    replies = [said({"embedding": [n], "inputTextTokenCount": 2}) for n in (1, 2, 3)]
    upstream = FakeUpstream(*replies)
    body = {"model": TITAN, "input": ["a", "b", "c"], "user": "me"}
    answer = await ask(app(upstream, [BEDROCK]), "/v1/embeddings", body)
    assert [item["embedding"] for item in answer.json["data"]] == [[1], [2], [3]]
    assert [item["index"] for item in answer.json["data"]] == [0, 1, 2]
    assert answer.json["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert answer.headers["x-bt-dropped-params"] == "user"
    assert answer.headers["x-bt-used-endpoint"] == "bd"
    assert len(upstream.sent) == 3
    assert upstream.sent[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 ")


@pytest.mark.parametrize(
    ("endpoint", "model", "url"),
    [
        (
            BEDROCK,
            TITAN,
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.titan-embed-text-v2%3A0/invoke",
        ),
        (
            VERTEX,
            "publishers/google/models/gemini-embedding-001",
            "https://l-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google/models/gemini-embedding-001:predict",
        ),
        (
            {"type": "google", "secret": "AIza"},
            "gemini-embedding-001",
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents",
        ),
        ({"type": "cohere", "secret": "k"}, "embed-v4.0", "https://api.cohere.com/v2/embed"),
        (
            {"type": "cohere", "secret": "k", "metadata": {"api_base": "https://c.test/v1/"}},
            "embed-v4.0",
            "https://c.test/v2/embed",
        ),
        (
            {"type": "mistral", "secret": "k"},
            "mistral-embed",
            "https://api.mistral.ai/v1/embeddings",
        ),
        ({"type": "voyage", "secret": "k"}, "voyage-3.5", "https://api.voyageai.com/v1/embeddings"),
        ({"type": "ollama"}, "all-minilm", "http://127.0.0.1:11434/v1/embeddings"),
        (
            {"type": "azure", "secret": "k", "metadata": {"api_base": "https://az.test"}},
            "text-embedding-3-small",
            "https://az.test/openai/deployments/text-embedding-3-small/embeddings?api-version=2023-07-01-preview",
        ),
    ],
)
async def test_every_provider_is_asked_at_its_own_address(
    endpoint: dict[str, Any], model: str, url: str
):
    upstream = FakeUpstream(Reply(status=400, body=b'{"error":{"message":"no"}}'))
    await ask(app(upstream, [endpoint]), "/v1/embeddings", {"model": model, "input": "a"})
    assert [sent.url for sent in upstream.sent] == [url]


@pytest.mark.parametrize(
    ("reply", "status", "message"),
    [
        (said({"message": "too long"}, 400), 400, "too long"),
        (said({"message": "denied"}, 403), 502, "check its secret"),
        (said({"nothing": 1}), 502, "no embeddings"),
        (Reply(fails=True), 502, "could not be reached"),
    ],
)
async def test_one_failure_fails_the_whole_in_openais_shape(
    reply: Reply, status: int, message: str
):
    upstream = FakeUpstream(said({"embedding": [1]}), reply)
    body = {"model": TITAN, "input": ["a", "b", "c"]}
    answer = await ask(app(upstream, [BEDROCK]), "/v1/embeddings", body)
    assert answer.status == status
    assert message in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TITAN, {"input": [1, 2]}, "input"),
        ("demo-echo", {"input": "a"}, "model"),
        ("", {"input": "a"}, "model"),
    ],
)
async def test_what_cannot_be_embedded_is_a_400(model: str, fields: dict[str, Any], param: str):
    upstream = FakeUpstream(Reply())
    body = {"model": model, **fields}
    answer = await ask(app(upstream, [OPENAI, BEDROCK]), "/v1/embeddings", body)
    assert (answer.status, answer.json["error"]["param"], upstream.sent) == (400, param, [])


async def test_strict_refuses_what_has_no_place():
    body = {"model": TITAN, "input": "a", "user": "me"}
    answer = await ask(
        app(FakeUpstream(Reply()), [BEDROCK]),
        "/v1/embeddings",
        body,
        headers={"x-bt-strict": "true"},
    )
    assert (answer.status, answer.json["error"]["param"]) == (400, "user")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gpt-4o-mini", "/chat/completions"),
        ("gpt-3.5-turbo-instruct", "/completions"),
        ("text-embedding-3-small", "/embeddings"),
        ("omni-moderation-latest", "/moderations"),
    ],
)
async def test_auto_asks_the_route_of_the_models_flavor(model: str, path: str):
    upstream = FakeUpstream(Reply(body=b'{"choices":[]}'))
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    answer = await ask(app(upstream, [OPENAI]), "/v1/auto", body)
    assert answer.status == 200
    assert upstream.sent[0].url == f"https://api.openai.com/v1{path}"
    assert upstream.sent[0].body == msgspec.json.encode(body)


@pytest.mark.parametrize("body", [{"model": "gpt-image-1"}, {"input": "x"}, [1]])
async def test_auto_refuses_what_has_no_route(body: Any):
    answer = await ask(app(FakeUpstream(Reply()), [OPENAI]), "/v1/auto", body)
    assert answer.status == 400


async def test_no_request_becomes_thousands():
    upstream = FakeUpstream(said({"embedding": [1]}))
    body = {"model": TITAN, "input": ["a"] * 2049}
    answer = await ask(app(upstream, [BEDROCK]), "/v1/embeddings", body)
    assert (answer.status, answer.json["error"]["param"]) == (400, "input")
    assert upstream.sent == []
