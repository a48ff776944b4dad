"""Only whole answers are kept: errors, cuts, filters and clients that leave."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.errors import UpstreamError
from handlers import asgi
from tests.asgi_driver import start
from tests.fakes import Reply, openai_endpoint, org
from tests.handlers.caches import (
    AUTH,
    FRAMES,
    Caches,
    question,
    streamed,
    told,
    whole,
)


def completion(reason: str | None, **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "H"}, "finish_reason": reason}
    return msgspec.json.encode({"id": "c", "choices": [choice], **more})


NOT_WHOLE = [
    (completion(None), "incomplete"),
    (completion("content_filter"), "filtered"),
    (completion("stop", choices=[]), "incomplete"),
]


@pytest.mark.parametrize(("said", "reason"), NOT_WHOLE)
async def test_what_is_not_whole_is_not_kept_and_the_head_says_why(
    said: bytes, reason: str
) -> None:
    caches = Caches(whole(said))
    answered = await caches.ask()
    assert answered.status == 200
    assert told(answered) == ("MISS", reason)
    assert caches.kept == 0
    assert "age" not in answered.headers


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls"])
async def test_what_ended_as_it_was_asked_to_is_kept(reason: str) -> None:
    caches = Caches(whole(completion(reason)))
    await caches.ask()
    assert caches.kept == 1


ERROR_FRAME = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
BROKEN = [
    (FRAMES[:2], "incomplete"),
    ([*FRAMES[:2], UpstreamError("cut")], "incomplete"),
    ([*FRAMES[:2], ERROR_FRAME], "error"),
    ([*FRAMES[:2], FRAMES[2].replace(b"stop", b"content_filter"), FRAMES[3]], "filtered"),
    ([b"".join(FRAMES[:2])[:-30]], "incomplete"),
]


@pytest.mark.parametrize(("frames", "reason"), BROKEN)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_that_broke_is_not_kept(frames: list[Any], reason: str, path: str) -> None:
    caches = Caches(streamed(*frames))
    asked = question(stream=True, max_tokens=9, input=[{"role": "user", "content": "hi"}])
    if path == "/v1/responses":
        asked.pop("messages")
    answered = await caches.ask(path, asked)
    assert caches.kept == 0
    if answered.status == 200:
        [line] = caches.logged("cache_not_kept")
        assert line["reason"] in (reason, "error")


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_an_error_is_not_kept_and_says_nothing_of_a_cache(status: int) -> None:
    caches = Caches(whole(b'{"error":{"message":"no"}}', status=status))
    answered = await caches.ask()
    assert answered.status == status
    assert caches.kept == 0
    assert not {"age", "cache-control", "x-bt-cached"} & answered.headers.keys()


async def test_headers_of_one_exchange_are_not_kept() -> None:
    headers = {
        "content-type": "application/json",
        "set-cookie": "a=b",
        "x-request-id": "r1",
        "x-ratelimit-remaining-requests": "5",
        "openai-organization": "o",
        "openai-processing-ms": "12",
    }
    caches = Caches(whole(headers=headers))
    first, second = await caches.ask(), await caches.ask()
    assert "set-cookie" not in first.headers
    assert headers.keys() & second.headers.keys() == {"content-type"}


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    hold = asyncio.Event()
    caches = Caches(streamed(*FRAMES[:2], hold, *FRAMES[2:]))
    exchange = start(caches.app, body=question(stream=True), headers=AUTH)
    await exchange.next_bytes()
    exchange.hang_up()
    await exchange.done()
    assert caches.kept == 0
    assert caches.upstream.replies == []


async def test_an_abandoned_answer_is_completed_where_the_organisation_asks_for_it() -> None:
    hold = asyncio.Event()
    settings = [org(endpoints=[openai_endpoint()], cache={"finish_abandoned": True})]
    caches = Caches(streamed(*FRAMES[:2], hold, *FRAMES[2:]), settings=settings)
    exchange = start(caches.app, body=question(stream=True), headers=AUTH)
    said = await exchange.next_bytes()
    exchange.hang_up()
    await asyncio.sleep(2 * asgi.WATCH_AFTER_S)
    hold.set()
    await exchange.done()
    assert exchange.body == said
    again = await caches.ask(asked=question(stream=True))
    assert told(again)[0] == "HIT"
    assert again.body == b"".join(FRAMES)


EMBEDDING = ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"})
MODERATION = ("/v1/moderations", {"model": "omni-moderation-latest", "input": "a"})
PROMPT = ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "a", "seed": 1})


def text(ended: bytes) -> bytes:
    return b'{"choices":[{"index":0,"text":"x","finish_reason":%s}]}' % ended


SHAPES: list[tuple[str, dict[str, Any], bytes, str]] = [
    (*EMBEDDING, b'{"data":[]}', "incomplete"),
    (*MODERATION, b"{}", "incomplete"),
    (*MODERATION, b'{"error":{"message":"no"}}', "error"),
    (*PROMPT, text(b"null"), "incomplete"),
    (*PROMPT, text(b'"content_filter"'), "filtered"),
    (*PROMPT, text(b"{}"), "incomplete"),
]


@pytest.mark.parametrize(("path", "asked", "said", "reason"), SHAPES)
async def test_the_head_says_of_every_route_why_an_answer_is_not_kept(
    path: str, asked: dict[str, Any], said: bytes, reason: str
) -> None:
    caches = Caches(Reply(said[:5], said[5:]))
    answered = await caches.ask(path, asked, {"content-type": "application/json"})
    assert (answered.status, answered.body) == (200, said)
    assert told(answered) == ("MISS", reason)
    assert not {"age", "cache-control"} & answered.headers.keys()
    assert caches.kept == 0


async def test_an_embedding_that_is_cut_is_an_error_and_not_half_an_answer() -> None:
    caches = Caches(Reply(b'{"data":[{"emb', UpstreamError("cut")))
    asked = {"model": "text-embedding-3-small", "input": "a"}
    answered = await caches.ask("/v1/embeddings", asked)
    assert answered.status == 502
    assert caches.kept == 0


async def test_what_the_cache_cannot_read_reaches_its_client_all_the_same() -> None:
    said = b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],"error":1}'
    caches = Caches(whole(said))
    answered = await caches.ask()
    assert (answered.status, answered.body) == (200, said)
    assert told(answered) == ("MISS", "error")


async def test_an_abandoned_answer_that_breaks_is_not_kept() -> None:
    hold = asyncio.Event()
    settings = [org(endpoints=[openai_endpoint()], cache={"finish_abandoned": True})]
    caches = Caches(streamed(*FRAMES[:2], hold, UpstreamError("cut")), settings=settings)
    exchange = start(caches.app, body=question(stream=True), headers=AUTH)
    await exchange.next_bytes()
    exchange.hang_up()
    await asyncio.sleep(2 * asgi.WATCH_AFTER_S)
    hold.set()
    await exchange.done()
    assert caches.kept == 0
    [line] = caches.logged("cache_not_kept")
    assert line["reason"] == "error"
