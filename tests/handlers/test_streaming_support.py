"""Endpoints and models that cannot stream, or only stream: clients get what they asked for."""

from typing import Any

import msgspec
import pytest

from core import eventstream
from core.routing import candidate
from providers import models
from providers.catalog import PROVIDERS
from tests.in_process import Answer, app, ask
from tests.stand_ins import FakeUpstream, Reply, settings

pytestmark = pytest.mark.timeout(20)

WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
CHUNKS = [
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c1", "model": "m", "choices": [], "usage": WHOLE["usage"]},
]
EVENTS = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in CHUNKS)
USER = [{"role": "user", "content": "Hello"}]
PARTS = [{"role": "user", "parts": [{"text": "Hello"}]}]
BLOCKS = [{"role": "user", "content": [{"text": "Hello"}]}]

STREAMED: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "openai_chat": ("/v1/chat/completions", {"messages": USER, "stream": True}, b"data: [DONE]"),
    "openai_responses": (
        "/v1/responses",
        {"input": "Hello", "stream": True},
        b"response.completed",
    ),
    "anthropic": (
        "/v1/messages",
        {"messages": USER, "max_tokens": 9, "stream": True},
        b'{"type":"message_stop"}',
    ),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": PARTS}, b"STOP"),
    "gemini array": ("/v1beta/models/m:streamGenerateContent", {"contents": PARTS}, b"]"),
    "converse": ("/model/m/converse-stream", {"messages": BLOCKS}, b"totalTokens"),
}
WHOLE_ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", {"messages": USER}),
    "openai_responses": ("/v1/responses", {"input": "Hello"}),
    "anthropic": ("/v1/messages", {"messages": USER, "max_tokens": 9}),
    "gemini": ("/v1beta/models/m:generateContent", {"contents": PARTS}),
    "converse": ("/model/m/converse", {"messages": BLOCKS}),
}
NO_STREAMS: dict[str, dict[str, Any]] = {
    "endpoint": {"supportsStreaming": False, "models": ["m"], "dialects": ["openai_chat"]},
    "model": {
        "customModels": {"m": {"format": "openai", "flavor": "chat", "supports_streaming": False}}
    },
}
ONLY_STREAMS = {
    "customModels": {"m": {"format": "openai", "flavor": "chat", "streaming_only": True}}
}


def endpoint(metadata: dict[str, Any], kind: str = "openai") -> dict[str, Any]:
    said = {"api_base": "https://p.test/v1", **metadata}
    return {"type": kind, "secret": "k" * 12, "metadata": said}


async def get(upstream: FakeUpstream, metadata: dict[str, Any], path: str, body: Any) -> Answer:
    named = body if "/m:" in path or "/model/" in path else {"model": "m", **body}
    return await ask(app(upstream, [endpoint(metadata)]), path, named)


@pytest.mark.parametrize("reason", NO_STREAMS)
@pytest.mark.parametrize("client", STREAMED)
async def test_a_clients_stream_is_made_from_the_whole_reply(client: str, reason: str):
    path, body, last = STREAMED[client]
    upstream = FakeUpstream(Reply(body=msgspec.json.encode(WHOLE)))
    answer = await get(upstream, NO_STREAMS[reason], path, body)
    sent = msgspec.json.decode(upstream.sent[0].body)
    assert answer.status == 200
    assert not sent.get("stream")
    assert "stream_options" not in sent
    kind = "json" if client == "gemini array" else "event"
    assert kind in answer.headers["content-type"]
    if client == "converse":
        frames = eventstream.Framer().feed(answer.body)
        said = b"".join(eventstream.parse(frame).data for frame in frames)
    else:
        said = answer.body
    assert b"Hi" in said
    assert last in said[-1200:]


@pytest.mark.parametrize("client", WHOLE_ASKED)
async def test_a_whole_answer_is_made_from_the_stream_of_a_model_that_only_streams(client: str):
    path, body = WHOLE_ASKED[client]
    upstream = FakeUpstream(Reply(headers={"content-type": "text/event-stream"}, body=EVENTS))
    answer = await get(upstream, ONLY_STREAMS, path, body)
    sent = msgspec.json.decode(upstream.sent[0].body)
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}
    assert answer.status == 200
    assert "json" in answer.headers["content-type"]
    assert "Hi" in answer.body.decode()
    assert b"3" in answer.body  # Its usage came too.


async def test_a_forced_tools_arguments_are_text_in_a_folded_stream_too():
    call = {"index": 0, "id": "t", "function": {"name": "json", "arguments": '{"a":1}'}}
    chunks = [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]
    events = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks)
    upstream = FakeUpstream(
        Reply(headers={"content-type": "text/event-stream"}, body=events + b"data: [DONE]\n\n")
    )
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = {"model": "m", "messages": USER, "response_format": schema}
    running = app(upstream, [endpoint(ONLY_STREAMS, "together")])
    answer = await ask(running, "/v1/chat/completions", body)
    (choice,) = answer.json["choices"]
    assert choice["message"]["content"] == '{"a":1}'
    assert choice["finish_reason"] == "stop"


def test_what_the_catalogue_says_of_streaming_is_heeded():
    (made,) = settings([{"type": "together", "secret": "k"}]).endpoints
    found = candidate(made, models.lookup("Qwen/Qwen3.6-Plus"), PROVIDERS)
    assert found.streams(asked=False)
    assert not candidate(made, models.lookup("other"), PROVIDERS).streams(asked=False)
