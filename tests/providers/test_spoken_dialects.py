"""Which formats a provider is asked in, where, and with which key: more than one for some."""

from typing import Any

import msgspec
import pytest

from tests.in_process import app, ask
from tests.providers.test_addresses import asked
from tests.providers.test_bedrock import ENDPOINT as BEDROCK
from tests.stand_ins import FakeUpstream, Reply

AZ = {"api_base": "https://x.openai.azure.com"}
V1 = {"api_base": "https://x.openai.azure.com/openai/v1"}
NEW = {"api_version": "2025-04-01-preview"}
OLD = {"api_version": "2024-10-21"}
SAID: dict[str, dict[str, Any]] = {
    "openai_responses": {"input": "hi"},
    "gemini": {"contents": [{"parts": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize(
    ("kind", "model", "client", "metadata", "lane", "url"),
    [
        ("groq", "x", "openai_responses", {}, "pass", "https://api.groq.com/openai/v1/responses"),
        ("xAI", "grok-4", "openai_responses", {}, "pass", "https://api.x.ai/v1/responses"),
        (
            "fireworks",
            "accounts/fireworks/models/x",
            "openai_responses",
            {},
            "pass",
            "https://api.fireworks.ai/inference/v1/responses",
        ),
        (
            "fireworks",
            "accounts/fireworks/models/x",
            "anthropic",
            {},
            "neutral",
            "https://api.fireworks.ai/inference/v1/chat/completions",
        ),
        (
            "openrouter",
            "openai/gpt-5.5",
            "openai_responses",
            {},
            "pass",
            "https://openrouter.ai/api/v1/responses",
        ),
        (
            "openrouter",
            "anthropic/claude-opus-5",
            "anthropic",
            {},
            "pass",
            "https://openrouter.ai/api/v1/messages",
        ),
        (
            "openrouter",
            "openai/gpt-5.5",
            "gemini",
            {},
            "neutral",
            "https://openrouter.ai/api/v1/chat/completions",
        ),
        (
            "deepseek",
            "deepseek-chat",
            "anthropic",
            {},
            "pass",
            "https://api.deepseek.com/anthropic/v1/messages",
        ),
        (
            "deepseek",
            "deepseek-chat",
            "openai_responses",
            {},
            "pass",
            "https://api.deepseek.com/responses",
        ),
        # Another base URL has one format: where the second one is there, nobody said.
        (
            "deepseek",
            "deepseek-chat",
            "anthropic",
            {"api_base": "https://d.test/v1"},
            "neutral",
            "https://d.test/v1/chat/completions",
        ),
        (
            "azure",
            "gpt-4o",
            "openai_responses",
            V1,
            "pass",
            "https://x.openai.azure.com/openai/v1/responses",
        ),
        (
            "azure",
            "gpt-4o",
            "openai_responses",
            AZ | NEW,
            "pass",
            "https://x.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
        ),
        (
            "azure",
            "gpt-4o",
            "openai_responses",
            AZ | OLD,
            "neutral",
            "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions"
            "?api-version=2024-10-21",
        ),
        (
            "azure",
            "gpt-5-pro",
            "openai_chat",
            V1,
            "neutral",
            "https://x.openai.azure.com/openai/v1/responses",
        ),
        (
            "azure",
            "gpt-5-pro",
            "openai_chat",
            AZ | OLD,
            "pass",
            "https://x.openai.azure.com/openai/deployments/gpt-5-pro/chat/completions"
            "?api-version=2024-10-21",
        ),
    ],
)
def test_a_client_is_passed_on_where_its_format_is_spoken(
    kind: str, model: str, client: str, metadata: dict[str, Any], lane: str, url: str
):
    made = asked(kind, model, metadata, client=client, **SAID.get(client, {}))
    assert (made.outgoing.url, made.lane) == (url, lane)


def test_a_key_travels_as_the_format_has_it():
    there = asked("deepseek", "deepseek-chat", {}, client="anthropic").outgoing.headers
    assert "authorization" not in there
    assert there["x-api-key"]
    assert there["anthropic-version"] == "2023-06-01"
    other = asked("openrouter", "x", {}, client="anthropic").outgoing.headers
    assert other["authorization"].startswith("Bearer ")
    assert other["anthropic-version"] == "2023-06-01"


def test_what_groq_answers_with_a_400_is_left_out_and_named():
    fields = {"store": False, "include": [], "truncation": "auto", "previous_response_id": "r"}
    fields["input"] = "hi"
    made = asked("groq", "x", {}, client="openai_responses", **fields)
    body = msgspec.json.decode(made.outgoing.body)
    assert body["previous_response_id"] == "r"  # Without it the answer would be another one.
    assert body.keys().isdisjoint({"store", "include", "truncation"})
    assert "truncation" in made.dropped


async def test_claude_on_bedrock_answers_an_anthropic_client_with_its_own_bytes():
    reply = b'{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hi","new":1.50}]}'
    upstream = FakeUpstream(Reply(body=reply))
    body = {
        "model": "anthropic.claude-opus-5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "context_management": {"edits": []},
    }
    headers = {"anthropic-beta": "context-1m-2025-08-07, x"}
    answer = await ask(app(upstream, [BEDROCK]), "/v1/messages", body, headers=headers)
    assert (answer.status, answer.body) == (200, reply)
    (sent,) = upstream.sent
    assert sent.url.endswith("/model/anthropic.claude-opus-5/invoke")
    assert "anthropic-beta" not in sent.headers
    assert msgspec.json.decode(sent.body) == {
        **{name: value for name, value in body.items() if name != "model"},
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["context-1m-2025-08-07", "x"],
    }
