"""The cache around a request: what is kept, for how long, and what comes back."""

from typing import Any

import msgspec
import pytest

from core.errors import UpstreamError
from tests.fakes import NOW, openai_endpoint, org
from tests.handlers.caches import (
    COMPLETION,
    FRAMES,
    MESSAGE,
    Caches,
    question,
    streamed,
    told,
    whole,
)

WEEK = 604_800


async def test_a_first_call_is_a_miss_and_the_second_a_hit_of_the_same_bytes() -> None:
    caches = Caches(whole())
    first = await caches.ask()
    caches.clock.time += 5
    second = await caches.ask()
    assert told(first) == ("MISS", None)
    assert first.headers["cache-control"] == second.headers["cache-control"] == f"max-age={WEEK}"
    assert (first.headers["age"], second.headers["age"]) == ("0", "5")
    assert told(second) == ("HIT", None)
    assert first.body == second.body == COMPLETION
    assert second.headers["content-type"] == "application/json"
    assert second.headers["x-bt-used-endpoint"] == "main"
    assert caches.calls == 1


async def test_a_hit_asks_the_table_once_and_a_kept_miss_twice() -> None:
    caches = Caches(whole())
    await caches.ask()
    assert caches.store.calls == ["get", "put"]
    caches.store.calls.clear()
    await caches.ask()
    assert caches.store.calls == ["get"]


async def test_a_stream_comes_back_as_a_stream_byte_for_byte() -> None:
    caches = Caches(streamed(), whole())
    first = await caches.ask(asked=question(stream=True))
    second = await caches.ask(asked=question(stream=True))
    assert (told(first)[0], told(second)[0]) == ("MISS", "HIT")
    assert first.body == second.body == b"".join(FRAMES)
    for answered in (first, second):
        assert answered.headers["cache-control"] == f"max-age={WEEK}, no-transform"
        assert answered.headers["content-type"].startswith("text/event-stream")
        assert answered.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answered.headers
    # And is no answer to whoever wants it whole.
    third = await caches.ask()
    assert told(third)[0] == "MISS"


AUTO = [
    ({"temperature": ...}, "not-deterministic"),
    ({"temperature": None}, "not-deterministic"),
    ({"temperature": 0.7}, "not-deterministic"),
    ({"temperature": "0"}, "not-deterministic"),
    ({"temperature": ..., "seed": None}, "not-deterministic"),
    ({"temperature": 0}, None),
    ({"temperature": 0.0}, None),
    ({"temperature": ..., "seed": 0}, None),
    ({"temperature": 1, "seed": 5}, None),
]


@pytest.mark.parametrize(("fields", "reason"), AUTO)
async def test_by_default_only_what_asks_for_the_same_answer_is_kept(
    fields: dict[str, Any], reason: str | None
) -> None:
    caches = Caches(whole(), whole())
    answered = await caches.ask(asked=question(**fields))
    assert told(answered) == ("MISS", reason)
    assert caches.kept == (reason is None)
    if reason:
        assert caches.store.calls == []
        assert "age" not in answered.headers
    always = await caches.ask(asked=question(**fields), headers={"x-bt-use-cache": "always"})
    assert told(always)[0] == ("MISS" if reason else "HIT")
    assert caches.kept == 1


GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "gpt-4o",
    "output": [
        {
            "type": "message",
            "id": "m",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ],
}
SAID = [{"role": "user", "content": "hi"}]
TURN = [{"role": "user", "parts": [{"text": "hi"}]}]
ROUTES = [
    ("/v1/chat/completions", question(), COMPLETION),
    ("/v1/auto", question(), COMPLETION),
    ("/v1/proxy/chat/completions", question(), COMPLETION),
    (
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 9, "temperature": 0, "messages": SAID},
        MESSAGE,
    ),
    ("/v1/responses", {"model": "gpt-4o", "input": "hi", "temperature": 0}, RESPONSE),
    (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": TURN, "generationConfig": {"temperature": 0}},
        GEMINI,
    ),
    (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": TURN, "generation_config": {"seed": 7}},
        GEMINI,
    ),
    (
        "/model/amazon.nova-lite-v1:0/converse",
        {
            "messages": [{"role": "user", "content": [{"text": "hi"}]}],
            "inferenceConfig": {"temperature": 0},
        },
        CONVERSE,
    ),
    (
        "/v1/completions",
        {"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "temperature": 0},
        {"choices": [{"text": "x", "index": 0, "finish_reason": "stop"}]},
    ),
    (
        "/v1/embeddings",
        {"model": "text-embedding-3-small", "input": "hi"},
        {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]},
    ),
    (
        "/v1/moderations",
        {"model": "omni-moderation-latest", "input": "hi"},
        {"id": "m", "results": [{"flagged": False}]},
    ),
]
EVERYWHERE = org(
    endpoints=[
        openai_endpoint(),
        {"type": "anthropic", "secret": "k"},
        {"type": "google", "secret": "k"},
        {"type": "bedrock", "metadata": {"region": "us-east-1"}},
    ]
)


@pytest.mark.parametrize(("path", "asked", "answer"), ROUTES)
async def test_every_route_that_can_be_cached_is(path: str, asked: Any, answer: Any) -> None:
    said = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    caches = Caches(whole(said), settings=[EVERYWHERE])
    headers = {"content-type": "application/json"}
    first = await caches.ask(path, asked, headers)
    second = await caches.ask(path, asked, headers)
    assert (first.status, *told(first)) == (200, "MISS", None)
    assert told(second) == ("HIT", None)
    assert first.body == second.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert caches.calls == 1


async def test_images_are_never_cached() -> None:
    caches = Caches(whole(b'{"data":[]}'), whole(b'{"data":[]}'))
    for _ in range(2):
        answered = await caches.ask(
            "/v1/images/generations",
            {"model": "gpt-image-1", "prompt": "hi"},
            {"x-bt-use-cache": "always", "content-type": "application/json"},
        )
        assert "x-bt-cached" not in answered.headers
    assert caches.store.calls == []


CONTROL = [
    ({"cache-control": "no-cache"}, "MISS", "no-cache", True),
    ({"cache-control": "max-age=0"}, "MISS", "no-cache", True),
    ({"cache-control": "no-store"}, "HIT", None, False),
    ({"cache-control": "max-age=1"}, "MISS", None, True),
    ({"cache-control": "max-age=60"}, "HIT", None, False),
    ({"cache-control": "Max-Age=60, private"}, "HIT", None, False),
    ({"cache-control": "no-cache, no-store"}, "MISS", "no-store", False),
    ({"x-bt-use-cache": "never"}, "MISS", "never", False),
    ({"x-bt-use-cache": "ALWAYS"}, "HIT", None, False),
]


@pytest.mark.parametrize(("headers", "cached", "reason", "written"), CONTROL)
async def test_a_caller_says_what_is_read_and_what_is_kept(
    headers: dict[str, str], cached: str, reason: str | None, written: bool
) -> None:
    caches = Caches(whole(), whole(COMPLETION.replace(b"Hi", b"Ho")))
    await caches.ask()
    caches.clock.time += 2
    answered = await caches.ask(headers=headers)
    assert told(answered) == (cached, reason)
    assert caches.store.calls.count("put") == 1 + written
    now = await caches.ask()
    assert (b"Ho" in now.body) == written


async def test_what_is_not_kept_is_read_all_the_same() -> None:
    caches = Caches(whole(), whole())
    for _ in range(2):
        answered = await caches.ask(headers={"cache-control": "no-store"})
        assert told(answered) == ("MISS", "no-store")
        assert "age" not in answered.headers
    assert caches.kept == 0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("60", 60), ("1", 1), ("604800", WEEK), ("999999999", WEEK), ("0", 1), ("-5", 1)],
)
async def test_an_answer_lives_as_long_as_it_was_asked_to(said: str, seconds: int) -> None:
    caches = Caches(whole(), whole())
    first = await caches.ask(headers={"x-bt-cache-ttl": said})
    assert first.headers["cache-control"] == f"max-age={seconds}"
    [row] = caches.store.rows.values()
    assert row.expires_at == NOW + seconds
    caches.clock.time = NOW + seconds - 1
    assert told(await caches.ask())[0] == "HIT"
    caches.clock.time = NOW + seconds
    assert told(await caches.ask())[0] == "MISS"


WRONG = [
    ("x-bt-use-cache", "sometimes", "auto, always, never"),
    ("x-bt-use-cache", "", "auto, always, never"),
    ("x-bt-cache-ttl", "abc", "whole number of seconds"),
    ("x-bt-cache-ttl", "12abc", "whole number of seconds"),
    ("x-bt-cache-ttl", "1.5", "whole number of seconds"),
    ("cache-control", "max-age=soon", "whole number of seconds"),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize(("name", "said", "message"), WRONG)
async def test_a_wrong_word_is_a_400_that_lists_the_right_ones(
    path: str, name: str, said: str, message: str
) -> None:
    caches = Caches()
    answered = await caches.ask(path, headers={name: said})
    assert answered.status == 400
    assert message in answered.json["error"]["message"]
    assert name in answered.json["error"]["message"]
    assert caches.calls == 0


async def test_a_hit_needs_no_provider() -> None:
    caches = Caches(whole(), UpstreamError("down"))
    await caches.ask()
    assert told(await caches.ask())[0] == "HIT"
    without = Caches(settings=[org(endpoints=[])])
    without.store.rows = caches.store.rows
    answered = await without.ask()
    assert told(answered)[0] == "HIT"
    assert answered.body == COMPLETION


async def test_a_body_with_two_meanings_is_not_cached() -> None:
    said = msgspec.json.encode(question())
    twice = said[:-1] + b',"temperature":0}'
    caches = Caches(whole(), whole())
    for _ in range(2):
        answered = await caches.ask(asked=twice)
        assert told(answered) == ("MISS", "unreadable")
    assert caches.store.calls == []


async def test_without_a_table_nothing_is_cached_and_the_head_says_so() -> None:
    caches = Caches(whole(), store=None)
    assert told(await caches.ask()) == ("MISS", "off")
