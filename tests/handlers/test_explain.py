"""POST /explain: what would be sent, and nothing is."""

from typing import Any

import pytest

from core import caching
from tests.handlers.caches import Caches
from tests.in_process import Answer, app, ask
from tests.stand_ins import FakeUpstream, Reply

pytestmark = pytest.mark.timeout(20)

SECRET = "sk-prov-123456789"
OPENAI = {
    "type": "openai",
    "name": "oa",
    "secret": SECRET,
    "metadata": {
        "additionalHeaders": {"X-Team": "private-team"},
        "customModels": {
            "ours": {"format": "openai", "flavor": "chat", "upstream_name": "theirs"},
            "priced": {
                "format": "openai",
                "flavor": "chat",
                "input_cost_per_mil_tokens": 4,
                "output_cost_per_mil_tokens": 8,
            },
        },
    },
}
CLAUDE = {"type": "anthropic", "name": "claude", "secret": "sk-ant-123456789"}
VERTEX = {
    "type": "vertex",
    "name": "vx",
    "secret": "{}",
    "metadata": {"project": "p", "auth_type": "access_token"},
}
BEDROCK = {
    "type": "bedrock",
    "name": "bd",
    "secret": "aws-secret-123456789",
    "metadata": {"region": "us-east-1", "access_key": "AKIA123456789"},
}
HELLO = [{"role": "user", "content": "hi"}]


async def explained(
    body: dict[str, Any], *endpoints: dict[str, Any], headers: dict[str, str] | None = None
) -> Answer:
    upstream = FakeUpstream(Reply())
    answer = await ask(app(upstream, endpoints or [OPENAI]), "/v1/explain", body, headers=headers)
    assert upstream.sent == []
    for secret in (SECRET, "private-team", "sk-ant-1", "aws-secret", "AKIA123456789"):
        assert secret.encode() not in answer.body
    return answer


async def test_a_request_in_the_providers_own_format_is_shown_as_it_would_go():
    body = {"route": "/v1/chat/completions", "model": "gpt-4o", "messages": HELLO, "max_tokens": 9}
    answer = await explained(body)
    assert answer.status == 200
    (only,) = answer.json["candidates"]
    del body["route"]
    assert only == {
        "endpoint": "oa",
        "type": "openai",
        "weight": 1.0,
        "lane": "pass",
        "dialect": "openai_chat",
        "model": "gpt-4o",
        "streams": False,
        "requests": 1,
        "method": "POST",
        "url": "https://api.openai.com/v1/chat/completions",
        "headers": {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "cutwater",
            "x-team": "***",
            "authorization": "***",
        },
        "authorization": None,
        "body": body,
        "fetches": [],
        "dropped": [],
        "renamed": {},
        "price": {
            "input_tokens": 20,
            "input_usd": 0.00005,
            "most_output_tokens": 9,
            "most_output_usd": 0.00009,
        },
    }
    assert {k: v for k, v in answer.json.items() if k != "candidates"} == {
        "object": "explanation",
        "route": "/v1/chat/completions",
        "dialect": "openai_chat",
        "model": "gpt-4o",
        "known": True,
        "cache": {
            "reads": False,
            "writes": False,
            "reason": "off",
            "why": "the deployment runs without a cache",
        },
    }


async def test_a_translation_names_what_it_drops_and_renames():
    body = {
        "route": "/chat/completions",
        "model": "claude-sonnet-4-5",
        "messages": HELLO,
        "stop": ["x"],
        "seed": 1,
        "max_completion_tokens": 5,
        "stream": True,
    }
    (only,) = (await explained(body, CLAUDE)).json["candidates"]
    assert (only["lane"], only["dialect"], only["streams"]) == ("neutral", "anthropic", True)
    assert only["dropped"] == ["seed"]
    assert only["renamed"] == {"stop": "stop_sequences", "max_completion_tokens": "max_tokens"}
    assert only["body"]["stop_sequences"] == ["x"]
    assert only["url"] == "https://api.anthropic.com/v1/messages"


async def test_every_endpoint_that_could_answer_is_told_in_the_order_to_try():
    body = {"route": "/v1/messages", "model": "claude-sonnet-4-5", "max_tokens": 5}
    answer = await explained({**body, "messages": HELLO}, VERTEX, {**CLAUDE, "weight": 3})
    assert [found["endpoint"] for found in answer.json["candidates"]] == ["claude", "vx"]
    assert answer.json["candidates"][1]["url"].endswith("/models/claude-sonnet-4-5:rawPredict")


async def test_an_endpoint_that_the_request_cannot_be_said_to_says_why():
    body = {
        "route": "/chat/completions",
        "model": "claude-sonnet-4-5",
        "messages": HELLO,
        "modalities": ["audio"],
    }
    (only,) = (await explained(body, CLAUDE)).json["candidates"]
    assert only["error"]["status"] == 400
    assert only["error"]["param"]
    assert "url" not in only


async def test_a_signature_is_announced_and_not_made():
    body = {"route": "/embeddings", "model": "amazon.titan-embed-text-v2:0", "input": ["a", "b"]}
    (only,) = (await explained(body, BEDROCK)).json["candidates"]
    assert (only["authorization"], only["requests"]) == ("SigV4", 2)
    assert only["body"] == {"inputText": "a"}
    assert only["price"]["most_output_tokens"] is None


@pytest.mark.parametrize(
    ("route", "method", "url"),
    [
        ("/v1/images/generations", "POST", "https://api.openai.com/v1/images/generations"),
        ("GET /v1/files?limit=2", "GET", "https://api.openai.com/v1/files?limit=2"),
    ],
)
async def test_forwarded_routes_are_explained_too(route: str, method: str, url: str):
    (only,) = (await explained({"route": route})).json["candidates"]
    assert (only["method"], only["url"], only["price"]) == (method, url, "unknown")
    assert only["body"] is None


async def test_auto_is_explained_as_what_it_becomes():
    body = {"route": "/auto", "model": "text-embedding-3-small", "input": "x"}
    (only,) = (await explained(body)).json["candidates"]
    assert only["url"].endswith("/embeddings")


async def test_a_new_models_cost_is_unknown_and_the_settings_know_best():
    body = {"route": "/chat/completions", "messages": HELLO}
    new = await explained({**body, "model": "brand-new"})
    assert new.json["known"] is False
    assert new.json["candidates"][0]["price"] == "unknown"
    ours = await explained({**body, "model": "ours"})
    assert ours.json["candidates"][0]["body"]["model"] == "theirs"
    priced = await explained({**body, "model": "priced", "max_tokens": 1000})
    assert priced.json["candidates"][0]["price"]["most_output_usd"] == 0.008


async def test_strict_is_explained_as_the_refusal_that_it_would_be():
    body = {"route": "/chat/completions", "model": "claude-sonnet-4-5", "messages": HELLO, "n": 2}
    answer = await explained(body, CLAUDE, headers={"x-bt-strict": "1"})
    assert answer.json["candidates"][0]["error"]["status"] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "gpt-4o"}, 400),
        ({"route": "/v1/models"}, 405),
        ({"route": "GET /v1/models"}, 400),
        ({"route": "/explain"}, 400),
        ({"route": "/nothing"}, 404),
        ({"route": "/btorg/other/v1/chat/completions", "model": "gpt-4o", "messages": HELLO}, 400),
        ({"route": "/chat/completions", "messages": HELLO}, 400),
        (
            {"route": "/chat/completions", "model": "claude-3-haiku-20240307", "messages": HELLO},
            404,
        ),
        ({"route": 1}, 400),
    ],
)
async def test_what_cannot_be_explained_is_the_error_that_it_would_be(
    body: dict[str, Any], status: int
):
    assert (await explained(body)).status == status


async def test_what_an_address_of_the_settings_hides_is_masked():
    metadata = {
        "api_base": "https://gw.test/v1",
        "endpoint_path": "/chat?code=FUNCTIONSECRET99&api-version=2",
    }
    body = {"route": "/chat/completions", "model": "gpt-4o", "messages": HELLO}
    answer = await explained(body, {**OPENAI, "metadata": metadata})
    (candidate,) = answer.json["candidates"]
    assert candidate["url"] == "https://gw.test/v1/chat?code=***&api-version=***"


async def test_a_limit_of_hundreds_of_digits_has_a_price_too():
    body = b'{"route":"/chat/completions","model":"gpt-4o","max_tokens":%d,"messages":[%s]}'
    body %= (10**400, b'{"role":"user","content":"x"}')
    answer = await ask(app(FakeUpstream(Reply()), [OPENAI]), "/v1/explain", body)
    assert answer.status == 200
    assert answer.json["candidates"][0]["price"]["most_output_tokens"] == 10**12


async def test_what_is_told_with_an_own_key_is_explained_with_it():
    headers = {"authorization": "Bearer sk-proj-own-key", "openai-organization": "org-me"}
    for route in ("/chat/completions", "/embeddings", "GET /files"):
        body = {"route": route, "model": "gpt-4o", "messages": HELLO, "input": "x"}
        answer = await explained(body, headers=headers)
        assert answer.json["candidates"][0]["headers"]["openai-organization"] == "org-me", route


OFF = {"reads": False, "writes": False}


@pytest.mark.parametrize(
    ("fields", "headers", "cached"),
    [
        ({"temperature": 0}, {}, {"reads": True, "writes": True, "reason": None, "ttl_s": 604800}),
        (
            {},
            {"x-bt-use-cache": "always", "x-bt-cache-ttl": "60"},
            {"reads": True, "writes": True, "reason": None, "ttl_s": 60},
        ),
        (
            {},
            {},
            OFF | {"reason": "not-deterministic", "why": caching.REASONS["not-deterministic"]},
        ),
        (
            {"temperature": 0},
            {"x-bt-use-cache": "never"},
            OFF | {"reason": "never", "why": "`x-bt-use-cache: never`"},
        ),
        (
            {"seed": 1},
            {"cache-control": "no-store, max-age=30"},
            {
                "reads": True,
                "writes": False,
                "reason": "no-store",
                "why": caching.REASONS["no-store"],
                "max_age_s": 30,
            },
        ),
        (
            {},
            {"x-bt-use-cache": "record", "x-bt-cassette": "ci"},
            {"reads": False, "writes": True, "reason": None, "cassette": "ci"},
        ),
        ({"route": "GET /v1/files"}, {}, OFF | {"why": "answers of this route are not cached"}),
    ],
)
async def test_the_caches_part_is_told(
    fields: dict[str, Any], headers: dict[str, str], cached: dict[str, Any]
):
    body = {"route": "/chat/completions", "model": "gpt-4o", "messages": HELLO, **fields}
    caches = Caches()
    answer = await caches.ask("/v1/explain", body, headers)
    assert answer.json["cache"] == cached
    assert (caches.calls, caches.store.asked) == (0, [])


async def test_a_body_of_two_meanings_is_told_to_be_no_cacheable_one():
    body = (
        b'{"route":"/chat/completions","model":"gpt-4o","temperature":0,"temperature":0,'
        b'"messages":[{"role":"user","content":"hi"}]}'
    )
    answer = await Caches().ask("/v1/explain", body)
    assert answer.json["cache"]["reason"] == "unreadable"
